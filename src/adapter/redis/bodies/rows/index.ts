/** What all bodies are made of: what they need, heads, sub-rows and the cells inside them. */

export {
  type BodyAccess,
  type BodyLimits,
  type CopyRows,
  DEFAULT_BODY_LIMITS,
  type Rows,
  type RowsCopy,
} from './access.ts';
export { ALARM_VALUE, alarmKeyOf, BodyRows, ROW_KINDS, RowKind } from './body-rows.ts';
export { ByteReader } from './byte-reader.ts';
export {
  type Cell,
  Cells,
  cellBytes,
  cellEnd,
  LongCell,
  NO_CELL,
  type RowNumbers,
  readCell,
  writeCell,
} from './cell.ts';
export { DEFAULT_ENCODINGS, type EncodingThresholds } from './encodings.ts';
export {
  armBody,
  BodyBit,
  decodeHead,
  drawIncarnation,
  encodeHead,
  type Head,
  HeadPlace,
  type LargeHead,
  type NewExpiry,
  type PackedHead,
  readHead,
  type StoredHead,
  writeHead,
} from './head.ts';
export { alarmRow, rowsOfCells, type WalkedRow, walkedRow } from './walked-row.ts';
