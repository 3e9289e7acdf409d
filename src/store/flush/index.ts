/**
 * From the entries that were applied to rows on disk: units gathered in memory, and one batch when it is time.
 */

export {
  Generation,
  KnownKey,
  type SeenFrom,
} from './apply-buffer.ts';
export { ChangeNotes, type ChangeNotesLimits } from './change-notes.ts';
export { Flusher } from './flusher.ts';
export { KeptVersion } from './kept-version.ts';
export { movedBase } from './moved-base.ts';
export { decodeSideRow, exportSides, SideRows } from './side-rows.ts';
export { rangeBytesOnDisk } from './sizes.ts';
export { lowerBound } from './tagged-names.ts';
export { type PendingVersion, prepareVersion, UnitWriter, versionOf } from './unit-writer.ts';
