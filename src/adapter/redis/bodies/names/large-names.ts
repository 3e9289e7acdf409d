/**
 * A hash or a set with a row for each element. Pages and the head are written by `save`, elements at once.
 *
 * What has expired is not there, but stays stored until somebody purges it: every command that changes the hash takes a few such elements with
 * it, and an alarm calls the leader when nobody changes it. All of them are known by the tree of expiries, so a hash without any costs nothing more.
 */
import { assert, type Millis, NEVER, physicalMs, timestampOfMs } from '../../../../platform/index.ts';
import { ValueForm } from '../../keys/index.ts';
import { ValueType } from '../../values/index.ts';
import { BodyRows, Cells, type HeadPlace, type LargeHead, type NewExpiry, RowKind } from '../rows/index.ts';
import { emptyTree } from '../tree/index.ts';
import { ElementExpiries } from './element-expiries.ts';
import {
  type ElementExpiry,
  type NamedEntry,
  type NamedForm,
  type NameScan,
  NO_EXPIRY,
  NO_VALUE,
} from './named-form.ts';
import {
  decodeElement,
  decodeNamesPart,
  type Element,
  encodeElement,
  encodeNamesPart,
  headerBytesOf,
  type NamesPart,
} from './names-rows.ts';
import { Roster } from './roster.ts';

/** Most expired elements that a command takes with it when it changes a hash: a few rows each. */
const PURGED_BY_A_CHANGE = 16;
/** Most that go when the alarm rings; if there are more, it rings again at once. */
const PURGED_BY_AN_ALARM = 500;
/** So many draws may hit expired elements before all names are read instead. */
const MAX_EXPIRED_DRAWS = 64;
/** Pages that are asked for at one time where they come from afar, and their elements behind them. */
const PAGES_TOGETHER = 256;

/** So few deletions read what they need one by one where rows come from afar. */
const FEW_DELETES = 8;
const NO_ELEMENT = { valueRow: 0 };

/** See above. */
export class LargeNames implements NamedForm {
  bits: number;
  private readonly place: HeadPlace;
  private readonly part: NamesPart;
  private readonly rows: BodyRows;
  private readonly roster: Roster;
  /** Elements that are stored, those that have expired among them. */
  private stored: number;
  /** Undefined until an element has an expiry. */
  private expiries: ElementExpiries | undefined;
  private readonly nowMs: Millis;
  /** Those that have expired; undefined when it is not known. */
  private due: number | undefined;
  /** The names that are there, once they had to be read for a draw; undefined again after a change. */
  private drawn: readonly Buffer[] | undefined;
  /** Whether the alarm has called for this change. */
  private isRinging = false;

  constructor(place: HeadPlace, head: LargeHead, bits: number) {
    const { view, bodyLimits } = place.access;
    this.place = place;
    this.stored = head.count;
    this.bits = bits;
    this.nowMs = physicalMs(view.ts);
    this.part = decodeNamesPart(head);
    this.rows = new BodyRows(view, place.key, head.incarnation);
    this.roster = new Roster(this.part, this.rows, new Cells(this.rows, this.part, bodyLimits, false), bodyLimits);
    if (this.part.expiries !== undefined)
      this.expiries = new ElementExpiries(this.part.expiries, this.rows, this.part, bodyLimits);
  }

  /** A body without elements; `addNew` fills it. */
  static create(place: HeadPlace, incarnation: Buffer, bits: number): LargeNames {
    const part = encodeNamesPart({ pages: 0, cap: 0, next: 1 });
    return new LargeNames(place, { form: ValueForm.Large, type: place.type, bits, incarnation, count: 0, part }, bits);
  }

  get count(): number {
    this.due ??= this.expiries?.dueAt(this.nowMs) ?? 0;
    return this.stored - this.due;
  }

  get(name: Buffer): Buffer | undefined {
    const element = this.find(name);
    return element && this.valueOf(element);
  }

  rowsOf(names: readonly Buffer[]): Buffer[] {
    return names.map((name) => this.rows.elementKey(name));
  }

  /** Says that the values of elements are about to be asked for, and not only their rows. */
  prefetchValues(names: readonly Buffer[]): void {
    if (!this.rows.isAfar) return;
    this.rows.prefetch(() => this.rowsOf(names));
    this.rows.prefetch(() =>
      names.flatMap((name) => {
        const { valueRow } = this.find(name) ?? NO_ELEMENT;
        return valueRow === 0 ? [] : [this.rows.numberedKey(RowKind.Long, valueRow)];
      }),
    );
  }

  /**
   * Says that elements are about to be deleted or to expire at another time: first their rows, then what has to be changed with them, come
   * together.
   * @param expireMs when they will expire
   */
  prefetchChanges(names: readonly Buffer[], expireMs: Millis = NO_EXPIRY): void {
    if (!this.rows.isAfar) return;
    this.rows.prefetch(() => this.rowsOf(names));
    const pages = new Set<number>();
    const expiring: { readonly name: Buffer; readonly expireMs: Millis }[] = [];
    for (const name of names) {
      const element = this.stores(name);
      if (element !== undefined) pages.add(element.page);
      if (element !== undefined && element.expireMs !== NO_EXPIRY) expiring.push({ name, expireMs: element.expireMs });
      if (expireMs !== NO_EXPIRY) expiring.push({ name, expireMs });
    }
    this.roster.prefetch([...pages]);
    this.expiries?.prefetch(expiring);
  }

  /** Says that elements are about to be deleted: many of them empty pages, which are filled from the last ones. */
  prefetchDeletes(names: readonly Buffer[]): void {
    if (!this.rows.isAfar) return;
    this.prefetchChanges(names);
    if (names.length < FEW_DELETES) return;
    const { pages } = this.part;
    const from = Math.max(0, pages - names.length);
    this.roster.prefetchNames(from, pages);
    this.rows.prefetch(() => this.rowsOf(this.namesOf(from, pages)));
  }

  expiryOf(name: Buffer): Millis | undefined {
    return this.find(name)?.expireMs;
  }

  set(name: Buffer, value: Buffer, expiry: ElementExpiry): boolean {
    const key = this.rows.elementKey(name);
    const row = this.rows.get(key);
    if (row === undefined) {
      this.addNew(name, value, expiry === 'keep' ? NO_EXPIRY : expiry);
      return true;
    }
    if (this.place.type === ValueType.Set) return false;
    const old = decodeElement(row);
    const isNew = !this.isThere(old);
    const expireMs = expiry !== 'keep' ? expiry : isNew ? NO_EXPIRY : old.expireMs;
    this.moveExpiry(name, old.expireMs, expireMs);
    if (this.isLong(value, expireMs)) {
      const valueRow = old.valueRow === 0 ? this.part.next++ : old.valueRow;
      this.rows.put(this.rows.numberedKey(RowKind.Long, valueRow), Buffer.from(value));
      if (valueRow !== old.valueRow || expireMs !== old.expireMs)
        this.rows.put(key, encodeElement({ page: old.page, expireMs, value: NO_VALUE, valueRow }));
    } else {
      if (old.valueRow !== 0) this.rows.delete(this.rows.numberedKey(RowKind.Long, old.valueRow));
      this.rows.put(key, encodeElement({ page: old.page, expireMs, value, valueRow: 0 }));
    }
    return isNew;
  }

  setExpiry(name: Buffer, expireMs: Millis): void {
    const element = this.find(name);
    assert(element !== undefined, 'an element that gets an expiry is there');
    if (element.expireMs === expireMs) return;
    this.moveExpiry(name, element.expireMs, expireMs);
    let { value, valueRow } = element;
    // The expiry takes room in the row, so a value may have to leave it.
    if (valueRow === 0 && this.isLong(value, expireMs)) {
      valueRow = this.part.next++;
      this.rows.put(this.rows.numberedKey(RowKind.Long, valueRow), value);
      value = NO_VALUE;
    }
    this.rows.put(this.rows.elementKey(name), encodeElement({ page: element.page, expireMs, value, valueRow }));
  }

  /** Adds an element whose name is known to be new. */
  addNew(name: Buffer, value: Buffer, expireMs: Millis): void {
    const page = this.roster.append(name);
    let valueRow = 0;
    if (this.isLong(value, expireMs)) {
      valueRow = this.part.next++;
      this.rows.put(this.rows.numberedKey(RowKind.Long, valueRow), Buffer.from(value));
    }
    this.rows.put(this.rows.elementKey(name), encodeElement({ page, expireMs, value, valueRow }));
    this.moveExpiry(name, NO_EXPIRY, expireMs);
    this.stored++;
    this.drawn = undefined;
  }

  delete(name: Buffer): boolean {
    const element = this.find(name);
    if (element === undefined) return false;
    this.drop(name, element);
    return true;
  }

  *names(): Generator<Buffer> {
    const due = new Set<string>();
    if (this.count < this.stored)
      for (const name of this.expiries!.dueNames(this.nowMs)) due.add(name.toString('latin1'));
    for (const names of this.pagesOfNames(false))
      for (const name of names) if (due.size === 0 || !due.has(name.toString('latin1'))) yield name;
  }

  *entries(): Generator<NamedEntry> {
    const isSet = this.place.type === ValueType.Set;
    for (const names of this.pagesOfNames(!isSet)) {
      for (const name of names) {
        if (isSet) {
          yield { name, value: NO_VALUE, expireMs: NO_EXPIRY };
          continue;
        }
        const element = this.find(name);
        if (element !== undefined) yield { name, value: this.valueOf(element), expireMs: element.expireMs };
      }
    }
  }

  /** Draws again when it has hit what has expired; where that is nearly everything, all names are read. */
  random(): Buffer {
    const { random } = this.place.access;
    if (this.count === this.stored) return this.roster.random(random);
    for (let draw = 0; this.drawn === undefined && draw < MAX_EXPIRED_DRAWS; draw++) {
      const name = this.roster.random(random);
      if (this.find(name) !== undefined) return name;
    }
    this.drawn ??= [...this.names()];
    return this.drawn[random.int(this.drawn.length)]!;
  }

  scan(cursor: number, atLeast: number): NameScan {
    const { pages } = this.part;
    let left = cursor === 0 ? pages : Math.min(cursor, pages);
    // Pages have unlike numbers of names: a few more than it takes on average.
    this.roster.prefetchNames(Math.max(0, left - Math.ceil((1.2 * atLeast * pages) / this.stored) - 1), left);
    const names: Buffer[] = [];
    do {
      left--;
      names.push(...this.roster.namesOf(left));
    } while (left > 0 && names.length < atLeast);
    if (this.count === this.stored) return { cursor: left, names };
    this.rows.prefetch(() => this.rowsOf(names));
    return { cursor: left, names: names.filter((name) => this.find(name) !== undefined) };
  }

  save(expiry: NewExpiry): void {
    const { place, bits, rows, part } = this;
    if (!rows.isChanged && expiry === 'keep') return;
    if (rows.isChanged) this.purge(PURGED_BY_A_CHANGE);
    const { stored: count, expiries } = this;
    if (count > 0) {
      this.roster.save();
      expiries?.save();
    }
    const lastMs = expiries !== undefined && expiries.count === count ? expiries.lastMs : NO_EXPIRY;
    if (expiries !== undefined) this.setAlarm(expiries, lastMs);
    part.expiries = expiries?.toStore(part.next);
    const lastFieldTs = part.expiries && (lastMs === NO_EXPIRY ? NEVER : timestampOfMs(lastMs));
    const { incarnation } = rows;
    const head = { form: ValueForm.Large, type: place.type, bits, incarnation, count, lastFieldTs };
    place.write({ ...head, part: encodeNamesPart(part) }, expiry, rows.isChanged);
  }

  /** What the alarm calls for: deletes elements that have expired, and sets the alarm anew. To be saved. */
  ring(): void {
    this.isRinging = true;
    this.expiries?.clearAlarm();
    this.purge(PURGED_BY_AN_ALARM);
  }

  private setAlarm(expiries: ElementExpiries, lastMs: Millis): void {
    if (expiries.count === 0) expiries.clearAlarm();
    else if (this.isRinging && this.count < this.stored) expiries.setAlarm(this.nowMs, lastMs, 1);
    else expiries.setAlarm(this.nowMs, lastMs);
  }

  /** Deletes some of the elements that have expired. */
  private purge(atMost: number): void {
    if (this.count === this.stored) return;
    const names = [...this.expiries!.dueNames(this.nowMs, atMost)];
    this.prefetchDeletes(names);
    for (const name of names) this.drop(name, this.stores(name)!);
  }

  /** The element of a name, if it is there. */
  private find(name: Buffer): Element | undefined {
    const element = this.stores(name);
    return element !== undefined && this.isThere(element) ? element : undefined;
  }

  /** The element of a name, also when it has expired. */
  private stores(name: Buffer): Element | undefined {
    const row = this.rows.get(this.rows.elementKey(name));
    return row === undefined ? undefined : decodeElement(row);
  }

  private isThere({ expireMs }: Element): boolean {
    return expireMs === NO_EXPIRY || expireMs > this.nowMs;
  }

  private drop(name: Buffer, { page, valueRow, expireMs }: Element): void {
    this.rows.delete(this.rows.elementKey(name));
    if (valueRow !== 0) this.rows.delete(this.rows.numberedKey(RowKind.Long, valueRow));
    this.moveExpiry(name, expireMs, NO_EXPIRY);
    this.roster.remove(name, page, (moved, to) => this.changePage(moved, to));
    this.stored--;
    this.drawn = undefined;
  }

  private moveExpiry(name: Buffer, fromMs: Millis, toMs: Millis): void {
    if (fromMs === toMs) return;
    this.drawn = undefined;
    const { rows, part } = this;
    const { bodyLimits } = this.place.access;
    this.expiries ??= new ElementExpiries(
      { count: 0, firstMs: NO_EXPIRY, alarmMs: NO_EXPIRY, tree: emptyTree(bodyLimits.countLevel, part.next) },
      rows,
      part,
      bodyLimits,
    );
    if (fromMs !== NO_EXPIRY) this.expiries.remove(name, fromMs);
    if (toMs !== NO_EXPIRY) this.expiries.add(name, toMs);
    if (this.due !== undefined && fromMs !== NO_EXPIRY && fromMs <= this.nowMs) this.due--;
    if (this.due !== undefined && toMs !== NO_EXPIRY && toMs <= this.nowMs) this.due++;
  }

  /** Names page by page, expired ones too. @param withElements whether the elements are about to be read */
  private *pagesOfNames(withElements: boolean): Generator<readonly Buffer[]> {
    const { pages } = this.part;
    for (let page = 0; page < pages; page++) {
      if (page % PAGES_TOGETHER === 0) {
        const behind = Math.min(page + PAGES_TOGETHER, pages);
        this.roster.prefetchNames(page, behind);
        if (withElements) this.prefetchValues(this.namesOf(page, behind));
      }
      yield this.roster.namesOf(page);
    }
  }

  /** Names of pages from one on, up to another; none where nothing has to be asked for beforehand. */
  private namesOf(page: number, behind: number): Buffer[] {
    const names: Buffer[] = [];
    for (let number = page; this.rows.isAfar && number < behind; number++) names.push(...this.roster.namesOf(number));
    return names;
  }

  private changePage(name: Buffer, page: number): void {
    const key = this.rows.elementKey(name);
    const row = this.rows.get(key);
    assert(row !== undefined, 'every name of a roster has an element');
    this.rows.put(key, encodeElement({ ...decodeElement(row), page }));
  }

  private isLong(value: Buffer, expireMs: Millis): boolean {
    return value.length > this.place.access.bodyLimits.pageBytes - headerBytesOf(expireMs);
  }

  private valueOf({ value, valueRow }: Element): Buffer {
    if (valueRow === 0) return value;
    const long = this.rows.get(this.rows.numberedKey(RowKind.Long, valueRow));
    assert(long !== undefined, 'the row of a long value is missing');
    return long;
  }
}
