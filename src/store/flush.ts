/** Turns a generation of applied units into the operations of one atomic batch. */
import type { BufferedKey, Generation } from './apply-buffer.ts';
import {
  encodeExpiryKey,
  encodeKey,
  encodeSystemState,
  encodeVersionKey,
  headerWithValueApart,
  RowKind,
  SYSTEM_KEY,
  type SystemState,
} from './codec.ts';
import type { LevelOperation } from './level.ts';

const EMPTY = Buffer.alloc(0);

/** @returns the rows of the generation and, with them, the state that it leads to */
export function encodeGeneration(generation: Generation, state: SystemState, inlineBytes: number): LevelOperation[] {
  const operations: LevelOperation[] = [];
  for (const buffered of generation.keys.values()) encodeBufferedKey(buffered, inlineBytes, operations);
  for (const { key, value } of generation.rows.values()) {
    operations.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
  }
  operations.push({ type: 'put', key: SYSTEM_KEY, value: encodeSystemState(state) });
  return operations;
}

function encodeBufferedKey(buffered: BufferedKey, inlineBytes: number, operations: LevelOperation[]): void {
  const { key, newest, base, indexedExpireTs } = buffered;
  const latestKey = encodeKey(RowKind.Latest, key);
  if (newest.value.length > inlineBytes) {
    operations.push({ type: 'put', key: latestKey, value: headerWithValueApart(newest.row) });
    operations.push({ type: 'put', key: encodeVersionKey(key, newest.commitTs), value: newest.row });
  } else {
    operations.push({ type: 'put', key: latestKey, value: newest.row });
  }
  for (let older = newest.older; older !== undefined; older = older.older) {
    operations.push({ type: 'put', key: encodeVersionKey(key, older.commitTs), value: older.row });
  }
  if (base !== undefined) operations.push({ type: 'put', key: encodeVersionKey(key, base.commitTs), value: base.row });
  if (indexedExpireTs !== 0n && indexedExpireTs !== newest.expireTs) {
    operations.push({ type: 'del', key: encodeExpiryKey(indexedExpireTs, key) });
  }
  // Even when the version below had the same expiry: its index row may have been collected together with it meanwhile.
  if (newest.expireTs !== 0n)
    operations.push({ type: 'put', key: encodeExpiryKey(newest.expireTs, key), value: EMPTY });
}
