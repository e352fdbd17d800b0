// @ts-check
/**
 * The stored pixels of a photo: not turned by EXIF, not converted by a profile, not multiplied by alpha.
 *
 * Browsers turn photos by their EXIF whatever `imageOrientation` asks for, and masks count in unturned pixels: so the
 * EXIF is cut out. A 2D canvas keeps colours times alpha: so what is transparent is read through WebGL.
 */

/** @typedef {{data: Uint8ClampedArray<ArrayBuffer>, width: number, height: number}} Photo */

/**
 * @param {Blob} blob
 * @param {(size: {width: number, height: number}) => void} check raises where there are too many pixels
 * @returns {Promise<Photo>}
 */
export async function decodePhoto(blob, check) {
  const bitmap = await createImageBitmap(withoutExif(await blob.arrayBuffer(), blob.type), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  check(bitmap);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser has no canvas in a worker");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const exact = isOpaque(data) ? null : throughWebGL(bitmap);
  bitmap.close();
  return { data: exact ?? data, width, height };
}

/** @param {Uint8ClampedArray} data */
function isOpaque(data) {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}

/** @type {WebGLRenderingContext | null | undefined} */
let context;

/** @param {ImageBitmap} bitmap @returns {Uint8ClampedArray<ArrayBuffer> | null} null where WebGL cannot */
function throughWebGL(bitmap) {
  const { width, height } = bitmap;
  context ??= new OffscreenCanvas(1, 1).getContext("webgl");
  const gl = context;
  if (!gl || gl.isContextLost() || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  const texture = gl.createTexture();
  const frame = gl.createFramebuffer();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const pixels = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const worked = gl.getError() === gl.NO_ERROR;
  gl.deleteFramebuffer(frame);
  gl.deleteTexture(texture);
  return worked ? new Uint8ClampedArray(pixels.buffer) : null;
}

/**
 * Return a JPEG, PNG or WebP without what would turn it, anything else as it is.
 * @param {ArrayBuffer} body
 * @param {string} type
 */
export function withoutExif(body, type) {
  const view = new DataView(body);
  const cut = type === "image/jpeg" ? inJpeg(view) : type === "image/png" ? inPng(view) : type === "image/webp" ? inWebp(view) : [];
  const parts = [];
  let from = 0;
  for (const [start, end] of cut) {
    parts.push(body.slice(from, start));
    from = end;
  }
  parts.push(body.slice(from));
  return new Blob(parts, { type });
}

/** @param {DataView} view @param {number} at @param {number} length */
function text(view, at, length) {
  return String.fromCharCode(...new Uint8Array(view.buffer, at, length));
}

/** @param {DataView} view @returns {[number, number][]} */
function inJpeg(view) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = 2; at + 10 <= view.byteLength && view.getUint8(at) === 0xff; ) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xda) break;
    const end = at + 2 + view.getUint16(at + 2);
    if (marker === 0xe1 && text(view, at + 4, 4) === "Exif") found.push([at, end]);
    at = end;
  }
  return found;
}

/** @param {DataView} view @returns {[number, number][]} */
function inPng(view) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const end = at + 12 + view.getUint32(at);
    if (text(view, at + 4, 4) === "eXIf") found.push([at, Math.min(end, view.byteLength)]);
    at = end;
  }
  return found;
}

/** @param {DataView} view @returns {[number, number][]} */
function inWebp(view) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const end = at + 8 + size + (size & 1);
    if (text(view, at, 4) === "EXIF") {
      found.push([at, Math.min(end, view.byteLength)]);
      view.setUint32(4, view.getUint32(4, true) - (Math.min(end, view.byteLength) - at), true);
    }
    at = end;
  }
  return found;
}
