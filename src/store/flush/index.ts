/**
 * From the entries that were applied to rows on disk: units gathered in memory, and one batch when it is time.
 */

export {
  type BaseVersion,
  BufferedKey,
  BufferedVersion,
  Generation,
  KnownKey,
  lowerBound,
  type NewestVersion,
  type SeenFrom,
} from './apply-buffer.ts';
export { ChangeNotes, type ChangeNotesLimits } from './change-notes.ts';
export { Flusher } from './flusher.ts';
export { movedBase } from './moved-base.ts';
export { decodeSideRow, exportSides, SideRows } from './side-rows.ts';
export { rangeBytesOnDisk } from './sizes.ts';
export { type PendingVersion, UnitWriter } from './unit-writer.ts';
