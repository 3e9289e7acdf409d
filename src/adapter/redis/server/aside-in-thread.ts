/** Values that another thread computes: how what it is given and what it answers travels. */
import type { ReadRow } from '../../../kv/index.ts';
import { NEVER } from '../../../platform/index.ts';
import { type AsideEvaluation, type AsideOutcome, type FreshRow, hasValue, type ReadHead } from '../aside/index.ts';
import type { Effect } from '../command/index.ts';
import { EncodedReply } from '../protocol/index.ts';
import {
  bufferOf,
  type EvaluationOrder,
  type EvaluationReport,
  ownBytes,
  packKeys,
  packRows,
  unpackRows,
} from './evaluation-messages.ts';

/** Rows of a result that are packed together. */
const PAGE_ROWS = 1_000;

const NO_ROW = { value: Buffer.alloc(0), expireTs: NEVER, commitTs: NEVER };

/** What a thread does with one command. */
export interface AsideThread {
  order(order: EvaluationOrder, transfer?: readonly ArrayBuffer[]): void;
  ask(id: number): Promise<EvaluationReport>;
  end(id: number): void;
  /** What the command wants to leave when it takes effect. */
  emits(effects: readonly Effect[]): void;
}

/** One command in a thread. */
export class AsideInThread implements AsideEvaluation {
  private readonly thread: AsideThread;
  private readonly id: number;

  /** @param id the thread has begun it */
  constructor(thread: AsideThread, id: number) {
    this.thread = thread;
    this.id = id;
  }

  addHead({ key, live }: ReadHead): void {
    const { value, expireTs, commitTs } = live ?? NO_ROW;
    const page = packRows(live === undefined ? [] : [{ key, value, expireTs, commitTs }]);
    const absent = live === undefined ? [ownBytes([key])] : [];
    this.thread.order({ kind: 'heads', id: this.id, page, absent }, [page.buffer]);
  }

  addRows(rows: readonly ReadRow[]): void {
    if (rows.length === 0) return;
    const page = packRows(rows);
    this.thread.order({ kind: 'rows', id: this.id, page }, [page.buffer]);
  }

  addBody(head: Buffer): void {
    const heads = packKeys([head]);
    this.thread.order({ kind: 'objects', id: this.id, heads }, [heads.buffer]);
  }

  async evaluate(): Promise<AsideOutcome> {
    const report = await this.thread.ask(this.id);
    if (report.kind === 'result') this.thread.emits(report.effects);
    return outcomeIn(report);
  }

  end(): void {
    this.thread.end(this.id);
  }
}

function outcomeIn(report: EvaluationReport): AsideOutcome {
  switch (report.kind) {
    case 'missing':
      return { kind: 'missing', missing: { kind: 'heads', keys: report.keys.map(bufferOf) } };
    case 'missingBody': {
      const [head, incarnation] = [bufferOf(report.head), bufferOf(report.incarnation)];
      return { kind: 'missing', missing: { kind: 'body', head, incarnation } };
    }
    case 'result': {
      const { reply, copies, fresh, written, deleted } = report;
      return {
        kind: 'result',
        result: {
          reply: new EncodedReply(bufferOf(reply)),
          copies: copies.map(({ from, incarnation, to, newIncarnation }) => ({
            from: bufferOf(from),
            incarnation: bufferOf(incarnation),
            to: bufferOf(to),
            newIncarnation: bufferOf(newIncarnation),
          })),
          fresh: rowsIn(fresh),
          others: [
            ...unpackRows(written),
            ...deleted.map((key) => ({ key: bufferOf(key), value: undefined, expireTs: NEVER })),
          ],
        },
      };
    }
    // An error of the command is a reply that writes nothing.
    case 'reply':
      return {
        kind: 'result',
        result: { reply: new EncodedReply(bufferOf(report.reply)), copies: [], fresh: [], others: [] },
      };
    case 'alone':
    case 'failed':
      return {
        kind: 'error',
        error: new Error(report.kind === 'failed' ? report.message : 'a script writes no whole value'),
      };
  }
}

function* rowsIn(pages: readonly Uint8Array[]): Generator<FreshRow> {
  for (const page of pages) yield* unpackRows(page);
}

/** A report of what a command has come to, and what of it changes hands. */
export function reportOf(
  id: number,
  outcome: AsideOutcome,
  encodedReply: Uint8Array<ArrayBuffer>,
  effects: readonly Effect[],
): {
  readonly report: EvaluationReport;
  readonly transfer: readonly ArrayBuffer[];
} {
  if (outcome.kind === 'missing') {
    const { missing } = outcome;
    const report: EvaluationReport =
      missing.kind === 'heads'
        ? { kind: 'missing', id, keys: missing.keys.map((key) => ownBytes([key])) }
        : { kind: 'missingBody', id, head: ownBytes([missing.head]), incarnation: ownBytes([missing.incarnation]) };
    return { report, transfer: [] };
  }
  if (outcome.kind === 'error') {
    return { report: { kind: 'reply', id, reply: encodedReply, effects: [] }, transfer: [encodedReply.buffer] };
  }
  const { copies, fresh, others } = outcome.result;
  const pages: Uint8Array<ArrayBuffer>[] = [];
  let page: FreshRow[] = [];
  for (const row of fresh) {
    if (page.push(row) < PAGE_ROWS) continue;
    pages.push(packRows(page.map(asRead)));
    page = [];
  }
  pages.push(packRows(page.map(asRead)));
  const written = packRows(others.filter(hasValue).map(asRead));
  const deleted = others.filter((write) => !hasValue(write)).map(({ key }) => ownBytes([key]));
  const report: EvaluationReport = {
    kind: 'result',
    id,
    reply: encodedReply,
    copies: copies.map(({ from, incarnation, to, newIncarnation }) => ({
      from: ownBytes([from]),
      incarnation: ownBytes([incarnation]),
      to: ownBytes([to]),
      newIncarnation: ownBytes([newIncarnation]),
    })),
    fresh: pages,
    written,
    deleted,
    effects,
  };
  return { report, transfer: [encodedReply.buffer, written.buffer, ...pages.map(({ buffer }) => buffer)] };
}

const asRead = (row: FreshRow): ReadRow => ({ ...row, commitTs: NEVER });
