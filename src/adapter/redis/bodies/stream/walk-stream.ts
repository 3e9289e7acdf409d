/** All rows of a stream, with everything that must hold for them. */
import { assert } from '../../../../platform/index.ts';
import {
  alarmRow,
  type BodyLimits,
  type BodyRows,
  type LargeHead,
  RowKind,
  type WalkedRow,
  walkedRow,
} from '../rows/index.ts';
import { walkTree } from '../tree/index.ts';
import { ID_BYTES } from './stream-id.ts';
import {
  type CountedState,
  decodeConsumer,
  decodeGroup,
  decodeLeftover,
  decodePending,
  decodeStreamPart,
  encodePending,
  type GroupRow,
  idIn,
  NO_ALARM,
  NO_ROW,
  nameIn,
  numberIn,
  partsIn,
  type StreamPart,
} from './stream-rows.ts';

/**
 * @param limits what the body was always written with; left out when that is not known
 * @throws AssertionError when something does not fit together
 */
export function walkStream(rows: BodyRows, head: LargeHead, limits?: BodyLimits): Generator<WalkedRow> {
  return new StreamWalk(rows, head, limits).walk();
}

class StreamWalk {
  private readonly rows: BodyRows;
  private readonly head: LargeHead;
  private readonly limits: BodyLimits | undefined;
  private readonly part: StreamPart;
  /** Pages of all trees: their numbers come from one counter. */
  private readonly keys = new Set<string>();

  constructor(rows: BodyRows, head: LargeHead, limits: BodyLimits | undefined) {
    this.rows = rows;
    this.head = head;
    this.limits = limits;
    this.part = decodeStreamPart(head.part);
  }

  *walk(): Generator<WalkedRow> {
    const { part } = this;
    const entries = yield* this.tree({ count: this.head.count, state: part.entries });
    for (const entry of entries) {
      assert(partsIn(entry).length % 2 === 0, 'every field of an entry has a value');
      assert(Buffer.compare(idIn(entry), part.lastId) <= 0, 'no entry has an id above the last one');
    }
    for (const element of yield* this.tree(part.groups)) {
      const row = this.numbered(RowKind.Group, numberIn(element), 'the row of a group');
      yield row;
      yield* this.group(decodeGroup(row.value));
    }
    assert((part.leftover !== NO_ROW) === (part.alarmMs !== NO_ALARM), 'there is an alarm for what was left behind');
    if (part.alarmMs !== NO_ALARM) yield alarmRow(this.rows, part.alarmMs);
    for (let number = part.leftover; number !== NO_ROW; ) {
      const row = this.numbered(RowKind.Leftover, number, 'what was left behind');
      yield row;
      const { next, what } = decodeLeftover(row.value);
      if ('tree' in what) yield* this.tree(what.tree);
      else if ('removed' in what) yield* this.tree(what.removed.pending);
      // It may be half gone, so its parts need not fit each other.
      else yield* this.group(what.group, false);
      number = next;
    }
  }

  private *group({ pending, consumers, orphans }: GroupRow, isWhole = true): Generator<WalkedRow> {
    const ofGroup = new Map<string, number>();
    for (const element of yield* this.tree(pending)) {
      const entry = decodePending(element);
      assert(encodePending(entry).equals(element), 'what is pending has its only form');
      ofGroup.set(idIn(element).toString('hex'), entry.consumer);
    }
    assert(ofGroup.size === pending.count, 'an id is pending once');
    let ofConsumers = 0;
    for (const element of yield* this.tree(consumers)) {
      const number = numberIn(element);
      const row = this.numbered(RowKind.Consumer, number, 'the row of a consumer');
      yield row;
      const consumer = decodeConsumer(row.value);
      assert(consumer.name.equals(nameIn(element)), 'a consumer has the name that it is found by');
      for (const id of yield* this.tree(consumer.pending)) {
        assert(id.length === ID_BYTES, 'of a consumer only ids are kept');
        const holder = ofGroup.get(id.toString('hex'));
        assert(!isWhole || holder === number, 'what is pending of a consumer is pending of its group');
        ofConsumers++;
      }
    }
    assert(!isWhole || ofConsumers === ofGroup.size - orphans, 'everything that is pending has its consumer');
  }

  /** @returns all elements */
  private *tree({ count, state }: CountedState): Generator<WalkedRow, Buffer[]> {
    const elements: Buffer[] = [];
    for (const page of walkTree(this.rows, { ...state, next: this.part.next }, count, true, this.limits)) {
      const text = page.key.toString('latin1');
      assert(!this.keys.has(text), 'a row belongs to one tree');
      this.keys.add(text);
      yield page;
      for (const element of page.elements ?? []) elements.push(element);
    }
    return elements;
  }

  private numbered(kind: RowKind, number: number, what: string): WalkedRow {
    assert(number > NO_ROW && number < this.part.next, 'the next number was never used');
    return walkedRow(this.rows, this.rows.numberedKey(kind, number), what);
  }
}

/** The alarm of a stream, which may have rung already; undefined when there is none. */
export function alarmOfStream(rows: BodyRows, { part }: LargeHead): WalkedRow | undefined {
  const { alarmMs } = decodeStreamPart(part);
  return alarmMs === NO_ALARM ? undefined : alarmRow(rows, alarmMs);
}
