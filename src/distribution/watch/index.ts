/**
 * What watchers of the catalog are told: deltas, snapshots, and how a receiver notices that it missed something.
 */

export {
  decodeWatchMessage,
  decodeWatchRequest,
  encodeWatchMessage,
  encodeWatchRequest,
  renumberWatchMessage,
  type WatchBeat,
  type WatchMessage,
  type WatchRequest,
} from './watch-messages.ts';
export { type WatchProblem, WatchReceiver } from './watch-receiver.ts';
export { WATCH_LIMITS, WatchSession } from './watch-session.ts';
