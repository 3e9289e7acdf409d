/** Streams and their consumer groups. */

export { type Kept, newStream, openStream, StreamBody, type StreamEntry, type TrimEffort } from './stream-body.ts';
export { type StreamConsumer, StreamGroup } from './stream-group.ts';
export { idAfter, idBefore, idText, MAX_ID, MIN_ID, msOf, type StreamId, seqOf, streamId } from './stream-id.ts';
export { type PendingEntry, UNKNOWN_READ } from './stream-rows.ts';
export { alarmOfStream, walkStream } from './walk-stream.ts';
