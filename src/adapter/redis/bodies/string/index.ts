/** Strings: in one piece in their head, or in chunks behind it once parts of a long one are changed. */

export { decodeChunkBytes, type StringPart, walkChunks } from './chunks.ts';
export {
  MAX_WHOLE_ROW_BYTES,
  openString,
  readString,
  type StringAccess,
  type StringBody,
  wholeOf,
  writeWhole,
} from './string-body.ts';
