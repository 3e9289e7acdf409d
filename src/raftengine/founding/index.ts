/**
 * How a group, a log and a data folder begin, and who they belong to.
 */

export { isDataFolderInUse, openDataFolder } from './data-folder.ts';
export { FOUNDING_INDEX, FOUNDING_TERM, foundingEntry } from './founding.ts';
export { holdsData, NodeRecord } from './node-record.ts';
export { folderWasRemoved, PeerBook } from './peer-book.ts';
export { recoveryWrite } from './recovery.ts';
export { type InstallMarks, repairOf } from './starting-point.ts';
