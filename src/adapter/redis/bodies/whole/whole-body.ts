/** What concerns all rows of a body: whether they fit together, and copies of them. */
import { EvaluationTooLongError } from '../../../../kv/index.ts';
import { assert, NEVER } from '../../../../platform/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { readValue, typeNameOf, ValueType } from '../../values/index.ts';
import { alarmOfNames, checkPackedNames, walkNames } from '../names/index.ts';
import { memberOf, orderKey, scoreBytesIn, scoreOf } from '../order/index.ts';
import {
  type BodyAccess,
  type BodyLimits,
  BodyRows,
  decodeHead,
  drawIncarnation,
  type Head,
  type LargeHead,
  RowKind,
  type Rows,
  type StoredHead,
  type WalkedRow,
  walkedRow,
  writeHead,
} from '../rows/index.ts';
import { alarmOfStream, walkStream } from '../stream/index.ts';
import { decodeChunkBytes, walkChunks } from '../string/index.ts';
import { decodeTreeState, walkTree } from '../tree/index.ts';

/** Elements of a body that is copied within a transaction over several groups: each of its rows is read, locked and written by itself. */
const MAX_COPIED_FROM_AFAR = 1_000;

/** The head of a value with a body; undefined for a string that is in one piece and for keys that do not exist. */
function headAt(view: Pick<Rows, 'get'>, headKey: Buffer): StoredHead | undefined {
  const value = readValue({ view, storageKey: (key) => key }, headKey);
  if (value === undefined || (value.type === ValueType.String && value.form === ValueForm.Packed)) return undefined;
  return { head: decodeHead(value), expireTs: value.expireTs };
}

/** All sub-rows of a body, each once. @throws AssertionError when they do not fit together */
function* walkBody(view: Rows, headKey: Buffer, head: Head, limits?: BodyLimits): Generator<WalkedRow> {
  if (head.form === ValueForm.Packed) {
    assert(head.elements.length > 0, 'a key without elements does not exist');
    assert(limits === undefined || head.elements.length <= limits.packedBytes, 'a packed body is not too large');
    if (head.type === ValueType.Hash || head.type === ValueType.Set) checkPackedNames(head);
    return;
  }
  assert(head.count > 0 || head.type === ValueType.Stream, 'a key without elements does not exist');
  const rows = new BodyRows(view, headKey, head.incarnation);
  if (head.type === ValueType.ZSet) yield* walkOrder(rows, head, limits);
  else if (head.type === ValueType.List)
    yield* walkTree(rows, decodeTreeState(head.part, false), head.count, false, limits);
  else if (head.type === ValueType.Stream) yield* walkStream(rows, head, limits);
  else if (head.type === ValueType.String) yield* walkChunks(rows, head.count, decodeChunkBytes(head.part));
  else yield* walkNames(rows, head, limits);
}

function* walkOrder(rows: BodyRows, head: LargeHead, limits?: BodyLimits): Generator<WalkedRow> {
  const members = new Set<string>();
  const walk = walkTree(rows, decodeTreeState(head.part, true), head.count, true, limits);
  // Where rows come from afar, those of all members are asked for together.
  const pages = rows.isAfar ? [...walk] : walk;
  if (Array.isArray(pages))
    rows.prefetch(() => pages.flatMap(({ elements = [] }) => elements.map((key) => rows.elementKey(memberOf(key)))));
  for (const page of pages) {
    yield page;
    for (const key of page.elements ?? []) {
      const member = memberOf(key);
      const row = walkedRow(rows, rows.elementKey(member), 'the element of a member');
      yield row;
      assert(scoreBytesIn(row.value).equals(key.subarray(0, key.length - member.length)), 'a score is the same twice');
      assert(orderKey(scoreOf(key), member).equals(key), 'a score is a number in its only form');
      const text = member.toString('latin1');
      assert(!members.has(text), 'a member is in its set once');
      members.add(text);
    }
  }
}

/**
 * Reads all of a collection and checks that everything in it fits together. For tests and for operators who suspect damage.
 * @param limits what the body was always written with; left out when that is not known
 * @returns the storage keys of its sub-rows: rows of the same incarnation that are not among them are lost
 * @throws AssertionError saying what is wrong
 */
export function checkBody(view: Rows, headKey: Buffer, limits?: BodyLimits): Buffer[] {
  const stored = headAt(view, headKey);
  if (stored === undefined) return [];
  return [...walkBody(view, headKey, stored.head, limits)].map(({ key }) => key);
}

/** How a value is laid out. */
export interface BodyShape {
  /** As TYPE answers it. */
  readonly type: string;
  readonly form: 'packed' | 'large';
  /** Elements of a large collection. */
  readonly count?: number;
  readonly incarnation?: Buffer;
  /** How many sub-rows there are of each kind, by the kind's name. */
  readonly rows: ReadonlyMap<string, number>;
}

/**
 * Reads all of a value, checks that it fits together, and tells how it is laid out; undefined when the key does not exist.
 * @throws AssertionError saying what is wrong
 */
export function shapeOf(view: Rows, headKey: Buffer): BodyShape | undefined {
  const value = view.get(headKey)?.value;
  if (value === undefined) return undefined;
  const type = typeNameOf(value);
  const rows = new Map<string, number>();
  const stored = headAt(view, headKey);
  if (stored === undefined) return { type, form: 'packed', rows };
  const { head } = stored;
  for (const { key } of walkBody(view, headKey, head)) {
    const kind = ROW_NAMES.get(key[headKey.length]!) ?? 'unknown';
    rows.set(kind, (rows.get(kind) ?? 0) + 1);
  }
  if (head.form === ValueForm.Packed) return { type, form: 'packed', rows };
  return { type, form: 'large', count: head.count, incarnation: head.incarnation, rows };
}

const ROW_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(RowKind).map(([name, kind]) => [kind, name.replaceAll(/\B([A-Z])/g, ' $1').toLowerCase()]),
);

function alarmOf(rows: BodyRows, head: LargeHead): WalkedRow | undefined {
  if (head.type === ValueType.Stream) return alarmOfStream(rows, head);
  return head.type === ValueType.Hash ? alarmOfNames(rows, head) : undefined;
}

/**
 * Copies a value of whatever type to a key whose value it replaces, its expiry too. One that lies in its head is one read and one write; of a large
 * one each row is read and written, under a new incarnation.
 * @param fromKey and `toKey`: storage keys, different ones
 * @returns false when there is nothing at `fromKey`
 * @throws EvaluationTooLongError when each of many rows would have to be brought from afar and locked
 */
export function copyValue(
  access: Pick<BodyAccess, 'view' | 'random' | 'mayCreateBodies' | 'mayCreateStreams' | 'copyRows'>,
  fromKey: Buffer,
  toKey: Buffer,
): boolean {
  const { view } = access;
  const stored = headAt(view, fromKey);
  if (stored === undefined) {
    const live = view.get(fromKey);
    if (live !== undefined) view.put(toKey, live.value, live.expireTs);
    return live !== undefined;
  }
  const { head, expireTs } = stored;
  let copy = head;
  if (head.form === ValueForm.Large) {
    copy = { ...head, incarnation: drawIncarnation(access, head.type) };
    const { incarnation: newIncarnation } = copy;
    if (access.copyRows !== undefined) {
      access.copyRows({ from: fromKey, incarnation: head.incarnation, to: toKey, newIncarnation });
      // Where the alarm has rung and was not heard yet, there is no row of it to be copied.
      const alarm = alarmOf(new BodyRows(view, toKey, newIncarnation), head);
      if (alarm !== undefined) view.put(alarm.key, alarm.value, alarm.expireTs ?? NEVER);
    } else if (view.prefetch !== undefined && head.count > MAX_COPIED_FROM_AFAR)
      throw new EvaluationTooLongError('a large value cannot be copied within a transaction over several groups');
    else {
      const rows = new BodyRows(view, toKey, newIncarnation);
      for (const { key, value, expireTs: rowTs } of walkBody(view, fromKey, head))
        rows.put(rows.keyLike(fromKey, key), value, rowTs);
    }
  }
  writeHead(access, toKey, undefined, copy, expireTs);
  return true;
}
