/**
 * Rows that were read beforehand, as an operation sees them: those that it has asked for, or all that its objects have. The view keeps nothing of what is
 * asked, because that may be a million rows.
 */
import { assert, type HlcTimestamp } from '../../platform/index.ts';
import { nameOf } from '../apply/index.ts';
import type { KeyView, LiveValue, LongEvaluation, LongOutcome, Operation, ReadRow } from '../contract/index.ts';

/** Stops an evaluation at an object that was not read. Not an error that anybody declares, so nobody keeps it. */
class NotReadYet extends Error {}

/** See the top of the file. */
export class RowsView implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly headOf: (key: Buffer) => Buffer;
  private readonly rows = new Map<string, LiveValue>();
  /** Keys that were looked for by themselves, whether or not they have a row. */
  private readonly looked = new Set<string>();
  /** Objects of which all rows are here: what they do not have is known too. */
  private readonly heads = new Set<string>();
  /** What has to be read before the evaluation can go on. */
  private missing: readonly Buffer[] | undefined;

  /** @param headOf of the object that a key is or lies in */
  constructor(ts: HlcTimestamp, headOf: (key: Buffer) => Buffer) {
    this.ts = ts;
    this.headOf = headOf;
  }

  /** Once whole objects come, nobody has to say which rows will be read. */
  get hasWholeObjects(): boolean {
    return this.heads.size > 0;
  }

  addKey(key: Buffer): void {
    this.looked.add(nameOf(key));
  }

  addObject(head: Buffer): void {
    this.heads.add(nameOf(head));
  }

  addRow(key: Buffer, value: LiveValue): void {
    this.rows.set(nameOf(key), value);
  }

  /** Evaluates over what is here. */
  run(evaluate: (view: KeyView) => unknown): LongOutcome {
    this.missing = undefined;
    let outcome: LongOutcome;
    try {
      outcome = { kind: 'reply', reply: evaluate(this) };
    } catch (error) {
      outcome = { kind: 'error', error: error instanceof Error ? error : new Error(String(error)) };
    }
    // Also when the operation has caught that it was stopped.
    return this.missing === undefined ? outcome : { kind: 'missing', keys: this.missing };
  }

  get(key: Buffer): LiveValue | undefined {
    const name = nameOf(key);
    const row = this.rows.get(name);
    if (row === undefined && !this.knows(name, key)) this.miss([key]);
    return row;
  }

  prefetch(keys: readonly Buffer[]): void {
    const missing = keys.filter((key) => !this.knows(nameOf(key), key));
    if (missing.length > 0) this.miss(missing);
  }

  private knows(name: string, key: Buffer): boolean {
    return this.looked.has(name) || this.rows.has(name) || this.heads.has(nameOf(this.headOf(key)));
  }

  private miss(keys: readonly Buffer[]): never {
    this.missing ??= keys;
    throw new NotReadYet();
  }

  put(): void {
    this.refuse();
  }

  delete(): void {
    this.refuse();
  }

  deleteRange(): void {
    this.refuse();
  }

  private refuse(): never {
    assert(false, 'an operation that says that it only reads writes nothing');
  }
}

/** In one turn of this thread. */
export class InlineEvaluation implements LongEvaluation {
  private readonly operation: Operation<unknown>;
  private readonly view: RowsView;

  constructor(operation: Operation<unknown>, ts: HlcTimestamp, headOf: (key: Buffer) => Buffer) {
    this.operation = operation;
    this.view = new RowsView(ts, headOf);
  }

  addRows(rows: readonly ReadRow[]): void {
    for (const row of rows) this.view.addRow(row.key, row);
  }

  addKeys(keys: readonly Buffer[]): void {
    for (const key of keys) this.view.addKey(key);
  }

  addObjects(heads: readonly Buffer[]): void {
    for (const head of heads) this.view.addObject(head);
  }

  async evaluate(): Promise<LongOutcome> {
    return this.view.run((view) => this.operation.evaluate(view));
  }

  end(): void {
    // What it has read goes with it.
  }
}
