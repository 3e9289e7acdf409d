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
} from './apply-buffer.ts';
export { ChangeNotes, type ChangeNotesLimits } from './change-notes.ts';
export { Flusher } from './flusher.ts';
export { hiddenBase } from './hidden-base.ts';
export { decodeSideRow, exportSides, SideRows } from './side-rows.ts';
export { rangeBytesOnDisk } from './sizes.ts';
export { type PendingVersion, UnitWriter } from './unit-writer.ts';
