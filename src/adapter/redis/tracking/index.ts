/**
 * Keys that clients keep: who has read what, who is told when it changes, and the streams by which nodes tell each other what is changed where they
 * lead.
 */

export {
  Tracking,
  type TrackingClient,
  type TrackingFigures,
  type TrackingPeers,
  type WriterNotes,
} from './tracking.ts';
export { NOBODY, type WrittenRows } from './turn-changes.ts';
