/**
 * The names of a large hash or set, for everything that a look-up by name cannot do: going through all of them, and drawing one at random.
 *
 * A roster is pages of names, numbered from 0 without gaps. New names are appended to the last page; each element's row knows the page that its
 * name is in. A page that lost most of its names is filled with names from the end of the last page, so names move downwards only, and a scan
 * that goes downwards from the last page meets every name that stays: a name moves either to a page that the scan has yet to reach, or between
 * two pages that it has seen. The cursor of a scan is the number of pages that are left.
 *
 *   page of names  cell*  in the order in which they came
 */
import { AssertionError, assert, type Random } from '../../../../platform/index.ts';
import {
  type BodyLimits,
  type BodyRows,
  ByteReader,
  type Cell,
  type Cells,
  cellBytes,
  RowKind,
  readCell,
  writeCell,
} from '../rows/index.ts';

/** What a head says of its roster. */
export interface RosterState {
  pages: number;
  /** At least as many as any page has names, and as low as the history of the roster allows. */
  cap: number;
}

interface RosterPage {
  readonly number: number;
  readonly names: Cell[];
  bytes: number;
  isDirty: boolean;
  isStored: boolean;
}

/** So many draws in a row that hit nothing do not happen in a roster that keeps its rules. */
const MAX_DRAWS = 10_000;

/** The pages that a command has touched, and those that it has not. Nothing is written before `save`. */
export class Roster {
  private readonly state: RosterState;
  private readonly rows: BodyRows;
  private readonly cells: Cells;
  private readonly limits: BodyLimits;
  /** Pages that are changed, or may be. */
  private readonly touched = new Map<number, RosterPage>();

  constructor(state: RosterState, rows: BodyRows, cells: Cells, limits: BodyLimits) {
    this.state = state;
    this.rows = rows;
    this.cells = cells;
    this.limits = limits;
  }

  /** @returns the page that the name, which must be new, was put into */
  append(name: Buffer): number {
    const { state, limits } = this;
    const cell = this.cells.make(name);
    let page = state.pages === 0 ? undefined : this.touch(state.pages - 1);
    if (page === undefined || !this.hasRoom(page, cell, limits.pageBytes)) {
      page = { number: state.pages++, names: [], bytes: 0, isDirty: true, isStored: false };
      this.touched.set(page.number, page);
    }
    this.put(page, cell);
    return page.number;
  }

  /**
   * Takes a name out of its page, and fills a page that has become too empty.
   * @param onMove told of each name that has come to another page
   */
  remove(name: Buffer, pageNumber: number, onMove: (name: Buffer, page: number) => void): void {
    const page = this.touch(pageNumber);
    const index = page.names.findIndex((cell) => this.cells.equals(name, cell));
    assert(index >= 0, 'a name is in the page that its element names');
    const [cell] = page.names.splice(index, 1);
    page.bytes -= cellBytes(cell!);
    page.isDirty = true;
    this.cells.free(cell!);
    if (page.names.length === 0) this.dropEmptyEnd();
    if (page.bytes * 4 < this.limits.pageBytes) this.refill(page, onMove);
  }

  /** Says that pages are about to be read. */
  prefetch(pages: readonly number[]): void {
    this.rows.prefetch(() => pages.map((page) => this.rows.numberedKey(RowKind.RosterPage, page)));
  }

  /** Says that all names of pages from one on, up to another, are about to be asked for. */
  prefetchNames(from: number, behind: number): void {
    if (!this.rows.isAfar) return;
    const pages = Array.from({ length: behind - from }, (_, nth) => from + nth);
    this.prefetch(pages);
    this.cells.prefetch(() => pages.flatMap((page) => this.peek(page).names));
  }

  /** The names of one page. */
  namesOf(page: number): Buffer[] {
    return this.peek(page).names.map((cell) => this.cells.bytesOf(cell));
  }

  /**
   * One name, each with the same chance: a page and a place in it are drawn until there is a name in the place. Takes `cap` divided by the
   * names of an average page tries.
   */
  random(random: Random): Buffer {
    const { pages, cap } = this.state;
    for (let draw = 0; draw < MAX_DRAWS; draw++) {
      const { names } = this.peek(random.int(pages));
      const place = random.int(cap);
      if (place < names.length) return this.cells.bytesOf(names[place]!);
    }
    throw new AssertionError('a roster has no names');
  }

  /** Writes every page that has changed. */
  save(): void {
    for (const page of this.touched.values()) if (page.isDirty) this.write(page);
  }

  private write(page: RosterPage): void {
    const value = Buffer.allocUnsafe(page.bytes);
    let at = 0;
    for (const cell of page.names) at = writeCell(value, at, cell);
    page.isDirty = false;
    page.isStored = true;
    this.rows.put(this.rows.numberedKey(RowKind.RosterPage, page.number), value);
  }

  /** Moves names from the end of the roster into a page until it is half full again. */
  private refill(page: RosterPage, onMove: (name: Buffer, page: number) => void): void {
    while (page.number < this.state.pages - 1 && page.bytes * 2 < this.limits.pageBytes) {
      const last = this.touch(this.state.pages - 1);
      const cell = last.names.at(-1)!;
      if (!this.hasRoom(page, cell, this.limits.pageBytes)) return;
      last.names.pop();
      last.bytes -= cellBytes(cell);
      last.isDirty = true;
      this.put(page, cell);
      onMove(this.cells.bytesOf(cell), page.number);
      if (last.names.length === 0) this.dropEmptyEnd();
    }
  }

  private dropEmptyEnd(): void {
    while (this.state.pages > 0) {
      const last = this.peek(this.state.pages - 1);
      if (last.names.length > 0) return;
      this.touched.delete(last.number);
      if (last.isStored) this.rows.delete(this.rows.numberedKey(RowKind.RosterPage, last.number));
      this.state.pages--;
    }
  }

  private hasRoom(page: RosterPage, cell: Cell, bytes: number): boolean {
    return page.names.length < this.limits.rosterNames && page.bytes + cellBytes(cell) <= bytes;
  }

  private put(page: RosterPage, cell: Cell): void {
    page.names.push(cell);
    page.bytes += cellBytes(cell);
    page.isDirty = true;
    this.state.cap = Math.max(this.state.cap, page.names.length);
  }

  private touch(number: number): RosterPage {
    const page = this.peek(number);
    this.touched.set(number, page);
    return page;
  }

  /** A page that is looked at; it is only kept when it was touched before. */
  private peek(number: number): RosterPage {
    const touched = this.touched.get(number);
    if (touched !== undefined) return touched;
    const value = this.rows.get(this.rows.numberedKey(RowKind.RosterPage, number));
    assert(value !== undefined, 'a page of a roster is missing');
    const reader = new ByteReader(value);
    const names: Cell[] = [];
    while (!reader.isAtEnd) names.push(readCell(reader));
    return { number, names, bytes: value.length, isDirty: false, isStored: true };
  }
}
