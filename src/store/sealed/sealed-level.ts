/**
 * A database whose rows are encrypted. Whoever uses it sees them in clear and in the order of their keys. Rows that were there in clear, or that
 * an older key has encrypted, are moved over in small steps while it is used: until the last one is, reads look in both places,
 * what is written goes to the new one, and what is removed goes from both.
 */
import { basename } from 'node:path';
import { assert } from '../../platform/index.ts';
import type { DataKeys } from '../../security/index.ts';
import type {
  Level,
  LevelChain,
  LevelIterator,
  LevelIteratorOptions,
  LevelOperation,
  LevelSnapshot,
  OpenLevel,
} from '../level/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import { type Area, boundsOf, CLEAR_AREA, edgesOf, type Row, SealedArea } from './areas.ts';
import type { Moment } from './branches.ts';
import { FORM_KEY, Form } from './form.ts';
import { OrderedWalk, WalkIterator } from './ordered-walk.ts';
import { placesOf } from './places.ts';
import { UnderWay } from './under-way.ts';

/** A step of moving rows holds up writes: little enough that a flush does not notice. */
const MOVED_ROWS = 256;
const MOVED_BYTES = 1 << 20;
const MERGED_ROWS = 64;
const NOTHING = Buffer.alloc(0);
const LOWEST = Buffer.from([0]);
const HIGHEST = Buffer.from([0xff]);
/** Of a batch that never was. */
const BEFORE_ALL = -1;

/** The areas as of a snapshot, which may be of before a move or in the middle of one. */
class SealedSnapshot implements LevelSnapshot {
  readonly inner: LevelSnapshot;
  readonly areas: readonly Area[];
  readonly moment: Moment;
  private readonly onClosed: () => void;

  constructor(inner: LevelSnapshot, areas: readonly Area[], moment: Moment, onClosed: () => void) {
    this.inner = inner;
    this.areas = areas;
    this.moment = moment;
    this.onClosed = onClosed;
  }

  async close(): Promise<void> {
    await this.inner.close();
    this.onClosed();
  }
}

/** What the databases of a node have in common. */
export interface SealedLevelsOptions {
  readonly keys: DataKeys;
  /** Whether rows may be found in clear. Otherwise they are refused. */
  readonly allowsClear: () => boolean;
  /** Somebody else writes to it. */
  readonly isLent?: boolean;
}

/** See the top of the file. */
export class SealedLevel implements Level {
  readonly location: string;
  private readonly inner: Level;
  private readonly options: SealedLevelsOptions;
  private readonly opened: Set<SealedLevel> | undefined;
  private readonly form: Form;
  /** Those that were begun hold rows that were placed in the areas of their beginning. */
  private readonly batches = new UnderWay();
  private readonly views = new UnderWay();
  /** Rows are written to the first; a second one is being emptied. */
  private areas: readonly Area[] = [];
  /** The end of the queue of those who write. */
  private written: Promise<unknown> = Promise.resolve();
  /** Areas that are noted, and come into use at a moment without a batch. */
  private next: readonly Area[] | undefined;
  /** An area that has no rows any more, and whose files have not been rewritten without them. */
  private emptied: Area | undefined;
  /** Views with smaller numbers may be of before the last row of that area was removed; undefined: rows may still be removed. */
  private viewsAfter: number | undefined;

  /** @param opened has the databases that are open */
  constructor(inner: Level, location: string, options: SealedLevelsOptions, opened?: Set<SealedLevel>) {
    this.inner = inner;
    this.location = location;
    this.options = options;
    this.opened = opened;
    // A copy on its way in has the name of the store that it will be.
    const [name = ''] = basename(location).split('.', 1);
    this.form = new Form(location, name, options.keys, this.batches);
  }

  /** @throws CorruptStoreError when its rows are in clear and must not be, or need a key that is not here */
  async open(): Promise<void> {
    await this.inner.open();
    try {
      const stored = this.inner.getSync(FORM_KEY);
      this.areas = stored === undefined ? await this.begin() : this.form.decode(stored);
      this.opened?.add(this);
    } catch (error) {
      await this.inner.close();
      throw error;
    }
  }

  /** The first opening with keys. */
  private async begin(): Promise<readonly Area[]> {
    const iterator = this.inner.iterator({ limit: 1 });
    const rows = await iterator.nextv(1);
    await iterator.close();
    const isEmpty = rows.length === 0;
    if (!isEmpty && !this.options.allowsClear()) {
      throw new CorruptStoreError(this.location, 'is in clear, though all of this data folder was encrypted');
    }
    const areas = [this.form.draw(undefined), ...(isEmpty ? [] : [CLEAR_AREA])];
    await this.note(areas);
    return areas;
  }

  private note(areas: readonly Area[]): Promise<void> {
    return this.inner.batch([{ type: 'put', key: FORM_KEY, value: this.form.encode(areas) }], { sync: true });
  }

  async close(): Promise<void> {
    this.opened?.delete(this);
    await this.written.catch(() => {});
    await this.inner.close();
  }

  // ---- reads

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    const snapshot = options?.snapshot as SealedSnapshot | undefined;
    for (const area of snapshot?.areas ?? this.areas) {
      const placed = area.place(key);
      const stored =
        snapshot === undefined ? this.inner.getSync(placed) : this.inner.getSync(placed, { snapshot: snapshot.inner });
      if (stored !== undefined) return area.read(placed, stored)[1];
    }
    return undefined;
  }

  snapshot(): LevelSnapshot {
    const inner = this.inner.snapshot();
    const stored = this.inner.getSync(FORM_KEY, { snapshot: inner });
    assert(stored !== undefined, 'an encrypted database has a form');
    return this.snapshotOf(inner, this.form.decode(stored));
  }

  private snapshotOf(inner: LevelSnapshot, areas: readonly Area[]): SealedSnapshot {
    const doneBefore = this.options.isLent === true ? BEFORE_ALL : this.batches.doneBefore;
    const number = this.views.begin();
    return new SealedSnapshot(inner, areas, { number, doneBefore }, () => this.views.end(number));
  }

  iterator(options: LevelIteratorOptions): LevelIterator {
    const given = options.snapshot as SealedSnapshot | undefined;
    const snapshot = given ?? this.snapshotOf(this.inner.snapshot(), this.areas);
    const sources = snapshot.areas.map((area) => this.pages(area, snapshot, options));
    const [first, second] = sources as [AsyncGenerator<Row[]>, AsyncGenerator<Row[]>?];
    const pages = second === undefined ? first : merged(first, second, options.reverse === true);
    return new WalkIterator(pages, options.limit, async () => {
      for (const source of sources) await source.return(undefined);
      if (given === undefined) await snapshot.close();
    });
  }

  private pages(area: Area, { inner, moment }: SealedSnapshot, options: LevelIteratorOptions): AsyncGenerator<Row[]> {
    if (!(area instanceof SealedArea)) return this.clearPages(inner, options);
    const { gte, lt, reverse } = options;
    return new OrderedWalk({ level: this.inner, area, snapshot: inner, moment, gte, lt, reverse }).pages();
  }

  private async *clearPages(snapshot: LevelSnapshot, options: LevelIteratorOptions): AsyncGenerator<Row[]> {
    const bounds = boundsOf(CLEAR_AREA);
    const gte = later(options.gte, bounds.gte);
    const lt = earlier(options.lt, bounds.lt);
    const { reverse, limit, highWaterMarkBytes } = options;
    const iterator = this.inner.iterator({ gte, lt, reverse, limit, snapshot, highWaterMarkBytes });
    try {
      for (;;) {
        const rows = await iterator.nextv(MERGED_ROWS);
        if (rows.length === 0) return;
        yield rows;
      }
    } finally {
      await iterator.close();
    }
  }

  // ---- writes

  async batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    const placed: LevelOperation[] = [];
    const number = this.batches.begin();
    try {
      const sink = this.sinkOf({
        put: (key, value) => placed.push({ type: 'put', key, value }),
        del: (key) => placed.push({ type: 'del', key }),
      });
      for (const operation of operations) {
        if (operation.type === 'put') sink.put(operation.key, operation.value);
        else sink.del(operation.key);
      }
      await this.inTurn(() => this.inner.batch(placed, options));
    } finally {
      this.batches.end(number);
    }
  }

  chain(): LevelChain {
    const inner = this.inner.chain();
    const sink = this.sinkOf(inner);
    const number = this.batches.begin();
    return {
      ...sink,
      write: async (options) => {
        try {
          await this.inTurn(() => inner.write(options));
        } finally {
          this.batches.end(number);
        }
      },
    };
  }

  /** Puts rows where they belong now. */
  private sinkOf(target: Pick<LevelChain, 'put' | 'del'>): Pick<LevelChain, 'put' | 'del'> {
    const [current, previous] = this.areas;
    assert(current !== undefined, 'a database is written to when it is open');
    return {
      put: (key, value) => {
        const placed = current.place(key);
        target.put(placed, current.store(placed, key, value));
        if (previous !== undefined) target.del(previous.place(key));
      },
      del: (key) => {
        target.del(current.place(key));
        if (previous !== undefined) target.del(previous.place(key));
      },
    };
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.written.then(work, work);
    this.written = done.catch(() => {});
    return done;
  }

  // ---- moving rows

  /** Every row is encrypted under the newest key. */
  get isSettled(): boolean {
    const { areas, emptied } = this;
    return areas.length === 1 && emptied === undefined && areas[0]!.keyId === this.options.keys.newest;
  }

  /**
   * Moves some rows towards the newest key. One call at a time; may fail like a write, and be tried again.
   * @returns true when there is nothing left to move
   */
  async move(): Promise<boolean> {
    if (this.isSettled) return true;
    const [current, previous] = this.areas;
    assert(current !== undefined, 'rows are moved while the database is open');
    if (this.emptied !== undefined) await this.sweep(current, this.emptied);
    else if (previous !== undefined) await this.inTurn(() => this.moveRows(current, previous));
    else await this.beginMove(current);
    return this.isSettled;
  }

  /** From here on there is another area to write to; noted before anything is written there. */
  private async beginMove(current: Area): Promise<void> {
    if (this.next === undefined) {
      const areas = [this.form.draw(current), current];
      await this.inTurn(() => this.note(areas));
      this.next = areas;
    }
    // A batch that is being put together would write to the area that is emptied: another call finds a better moment.
    if (!this.batches.areAllDone) return;
    this.areas = this.next;
    this.next = undefined;
  }

  /** Nobody else writes meanwhile: what is read here is what is there when it is written. */
  private async moveRows(current: Area, previous: Area): Promise<void> {
    const iterator = this.inner.iterator({
      ...boundsOf(previous),
      limit: MOVED_ROWS,
      highWaterMarkBytes: MOVED_BYTES,
    });
    let rows: [Buffer, Buffer][];
    try {
      rows = await iterator.nextv(MOVED_ROWS);
    } finally {
      await iterator.close();
    }
    if (rows.length === 0) {
      this.emptied = previous;
      this.areas = [current];
      return;
    }
    const number = this.batches.begin();
    try {
      const operations = rows.flatMap(([from, stored]): LevelOperation[] => {
        const [key, value] = previous.read(from, stored);
        const placed = current.place(key);
        return [
          { type: 'put', key: placed, value: current.store(placed, key, value) },
          { type: 'del', key: from },
        ];
      });
      // Synced: the note that the area is empty must not outlive the moves before it.
      await this.inner.batch(operations, { sync: true });
    } finally {
      this.batches.end(number);
    }
  }

  /** LevelDB keeps what was removed, and the keys of the removals, until it rewrites the files that have them. */
  private async sweep(current: Area, emptied: Area): Promise<void> {
    // A batch of before removes rows from there, which leaves their keys.
    if (this.viewsAfter === undefined && this.batches.areAllDone) this.viewsAfter = this.views.next;
    // LevelDB leaves what an older view shows in the files that it rewrites.
    if (this.viewsAfter === undefined || this.views.doneBefore < this.viewsAfter) return;
    const [before, behind] = edgesOf(emptied);
    const edges = [before, behind];
    // Files of the last level are rewritten only when something from above falls into them.
    const puts = edges.map((key): LevelOperation => ({ type: 'put', key, value: NOTHING }));
    await this.inTurn(() => this.inner.batch(puts, { sync: true }));
    await this.inner.compact?.(before, behind);
    const removals = edges.map((key): LevelOperation => ({ type: 'del', key }));
    await this.inTurn(() => this.inner.batch(removals, { sync: true }));
    await this.inTurn(() => this.note([current]));
    this.emptied = undefined;
    this.viewsAfter = undefined;
  }

  // ---- the rest

  async approximateBytes(start: Buffer, end: Buffer): Promise<number | undefined> {
    if (this.inner.approximateBytes === undefined) return undefined;
    let sum = 0;
    for (const area of this.areas) {
      const places = area instanceof SealedArea ? placesOf(area, start, end) : [[start, end] as const];
      for (const [gte, lt] of places) sum += (await this.inner.approximateBytes(gte, lt)) ?? 0;
    }
    return sum;
  }

  /** All of it: rows that follow each other lie anywhere. */
  async compact(): Promise<void> {
    await this.inner.compact?.(LOWEST, HIGHEST);
  }

  property(name: string): string | undefined {
    return this.inner.property?.(name);
  }

  get doubt(): Level['doubt'] {
    return this.inner.doubt?.bind(this.inner);
  }

  get proveTrusted(): Level['proveTrusted'] {
    return this.inner.proveTrusted?.bind(this.inner);
  }

  get lend(): Level['lend'] {
    return this.inner.lend?.bind(this.inner);
  }
}

const later = (given: Buffer | undefined, least: Buffer): Buffer =>
  given === undefined || Buffer.compare(given, least) < 0 ? least : given;

const earlier = (given: Buffer | undefined, most: Buffer): Buffer =>
  given === undefined || Buffer.compare(given, most) > 0 ? most : given;

/** Rows of one area, one ahead. */
async function* rowsOf(pages: AsyncGenerator<Row[]>): AsyncGenerator<Row> {
  for await (const page of pages) yield* page;
}

/** Two areas have no key in common. */
async function* merged(
  left: AsyncGenerator<Row[]>,
  right: AsyncGenerator<Row[]>,
  reverse: boolean,
): AsyncGenerator<Row[]> {
  const sources = [rowsOf(left), rowsOf(right)] as const;
  const heads = [await sources[0].next(), await sources[1].next()];
  let page: Row[] = [];
  for (;;) {
    const [a, b] = heads as [IteratorResult<Row>, IteratorResult<Row>];
    if (a.done === true && b.done === true) break;
    const order = a.done === true ? 1 : b.done === true ? -1 : Buffer.compare(a.value[0], b.value[0]);
    const isEitherOver = a.done === true || b.done === true;
    const from = (isEitherOver ? order : reverse ? -order : order) < 0 ? 0 : 1;
    page.push(heads[from]!.value as Row);
    heads[from] = await sources[from].next();
    if (page.length < MERGED_ROWS) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** The encrypted databases of a node. */
export class SealedLevels {
  /** Those that are open. */
  readonly opened = new Set<SealedLevel>();
  private readonly options: SealedLevelsOptions;

  constructor(options: SealedLevelsOptions) {
    this.options = options;
  }

  /** Opens databases that are encrypted inside of what `openLevel` opens. */
  over(openLevel: OpenLevel): OpenLevel {
    return (location) => new SealedLevel(openLevel(location), location, this.options, this.opened);
  }
}
