/**
 * The bodies of values: how hashes, sets, lists and sorted sets are laid out in rows, so that a command can find, change and count elements by
 * reading single rows only, and how long strings are, so that it can change a part of one. A small body lies in the head of its key; a large one
 * has its elements in rows behind the head, and pages of bounded size for what a look-up by name cannot do. Commands open a body by its key,
 * use it and save it, and never know which form it has.
 *
 * Inside, `rows` has heads and what all bodies are made of, `tree` sequences in pages, `names` hashes and sets, `list` lists, `order` sorted
 * sets, `string` strings, `stream` streams, `whole` checks and copies. Pure code: rows, chance and limits come from whoever evaluates the command.
 */

export { type ListBody, newList, openList, type PositionSearch } from './list/index.ts';
export {
  type ElementExpiry,
  type HashBody,
  type NamedEntry,
  type NameScan,
  NO_EXPIRY,
  newHash,
  newSet,
  openHash,
  openSet,
  type SetBody,
} from './names/index.ts';
export {
  type LexBound,
  type LexRange,
  newOrdered,
  type OrderedBody,
  type OrderedRange,
  openOrdered,
  type RangeOptions,
  type RankRange,
  type ScoreBound,
  type ScoredMember,
  type ScoreRange,
} from './order/index.ts';
export {
  armBody,
  type BodyAccess,
  type BodyLimits,
  type CopyRows,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  type EncodingThresholds,
  type NewExpiry,
  ROW_KINDS,
  type Rows,
  type RowsCopy,
} from './rows/index.ts';
export {
  idAfter,
  idBefore,
  idText,
  type Kept,
  MAX_ID,
  MIN_ID,
  msOf,
  newStream,
  openStream,
  type PendingEntry,
  type StreamBody,
  type StreamConsumer,
  type StreamEntry,
  type StreamGroup,
  type StreamId,
  seqOf,
  streamId,
  type TrimEffort,
  UNKNOWN_READ,
} from './stream/index.ts';
export {
  MAX_WHOLE_ROW_BYTES,
  openString,
  readString,
  type StringBody,
  type StringPart,
  wholeOf,
  writeWhole,
} from './string/index.ts';
export { alarmWork, type BodyShape, checkBody, copyValue, shapeOf } from './whole/index.ts';
