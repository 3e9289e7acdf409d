/** What hashes and sets have in common, whichever form they have. */
import { assert, finish } from '../../../../platform/index.ts';
import { ValueForm } from '../../keys/index.ts';
import type { ValueType } from '../../values/index.ts';
import { type BodyAccess, type EncodingThresholds, HeadPlace, type NewExpiry, readHead } from '../rows/index.ts';
import { LargeNames } from './large-names.ts';
import { type NamedForm, type NameScan, NO_VALUE } from './named-form.ts';
import { PackedNames } from './packed-names.ts';

/** Draws that are made one by one where rows come from afar: each may take a round. For more, all names are read. */
const FEW_DRAWS = 16;

const NO_ELEMENTS = { elements: NO_VALUE };

/** The form that a key has; an empty packed one when it does not exist. @throws RedisError WRONGTYPE */
function openForm(access: BodyAccess, userKey: Buffer, type: ValueType): { form: NamedForm; place: HeadPlace } {
  const before = readHead(access, userKey, type);
  const place = new HeadPlace(access, access.storageKey(userKey), type, before);
  if (before?.head.form === ValueForm.Large) return { place, form: new LargeNames(place, before.head, place.bits) };
  return { place, form: new PackedNames(place, place.bits, before?.head ?? NO_ELEMENTS) };
}

/** Two draws of three bring a new name: so many for each do not happen where the names are there. */
const MAX_DRAWS_A_NAME = 64;

export abstract class NamedBody {
  protected form: NamedForm;
  private readonly place: HeadPlace;

  /** @param isNew true for a body without elements that replaces whatever the key holds, false for the one that the key holds */
  constructor(access: BodyAccess, userKey: Buffer, type: ValueType, isNew: boolean) {
    if (isNew) {
      this.place = new HeadPlace(access, access.storageKey(userKey), type, undefined);
      this.form = new PackedNames(this.place, 0);
    } else {
      const opened = openForm(access, userKey, type);
      this.place = opened.place;
      this.form = opened.form;
    }
  }

  /** Number of elements; a key without elements does not exist. */
  get size(): number {
    return this.form.count;
  }

  /** Says that these names are about to be looked for, so that their rows come together where they come from afar. */
  prefetch(names: readonly Buffer[]): void {
    const { view } = this.place.access;
    if (view.prefetch !== undefined) view.prefetch(this.form.rowsOf(names));
  }

  /** Storage keys of the rows that looking for names reads, for who asks for those of several bodies together. */
  rowsOf(names: readonly Buffer[]): Buffer[] {
    return this.form.rowsOf(names);
  }

  /** One name, each with the same chance; undefined when there is none. */
  random(): Buffer | undefined {
    return this.size === 0 ? undefined : this.form.random();
  }

  /**
   * Different names, each choice of `count` with the same chance, in random order; all of them when there are not more. Draws while that takes
   * few tries, else reads all names.
   */
  randomDistinct(count: number): Buffer[] {
    const { size, form } = this;
    if (count * 3 <= size && this.mayDraw(count)) {
      const drawn = new Map<string, Buffer>();
      for (let draw = 0; drawn.size < count; draw++) {
        // A transaction may be evaluated over rows that were read at different moments: with fewer names than are counted this would never end.
        assert(draw < MAX_DRAWS_A_NAME * (count + MAX_DRAWS_A_NAME), 'there are as many names as are counted');
        const name = form.random();
        drawn.set(name.toString('latin1'), name);
      }
      return [...drawn.values()];
    }
    const names = [...form.names()];
    const chosen = Math.min(count, names.length);
    for (let index = 0; index < chosen; index++) {
      const other = index + this.place.access.random.int(names.length - index);
      [names[index], names[other]] = [names[other]!, names[index]!];
    }
    names.length = chosen;
    return names;
  }

  /** So many names, each of them any of all with the same chance; there must be one. */
  randomRepeated(count: number): Buffer[] {
    if (this.mayDraw(count)) return Array.from({ length: count }, () => this.form.random());
    const names = [...this.form.names()];
    return Array.from({ length: count }, () => names[this.place.access.random.int(names.length)]!);
  }

  /**
   * A part of all names and the cursor to go on with. Names that are there from the first call with cursor 0 to the one that answers cursor 0 are
   * returned, some perhaps twice.
   * @param cursor 0 or what a call answered; anything else is harmless
   */
  scan(cursor: number, atLeast: number): NameScan {
    return this.size === 0 ? { cursor: 0, names: [] } : this.form.scan(cursor, atLeast);
  }

  /** Writes what was changed. Nothing of a body is to be relied on before. @param expiry what becomes of the key's */
  save(expiry: NewExpiry = 'keep'): void {
    this.form.save(expiry);
  }

  /**
   * Deletes elements. When that is most of a large body, what stays is written anew and the rest is left to be collected.
   * @param areThere true when all of the names are known to be there, each once
   * @returns how many were there
   */
  protected deleteAll(names: readonly Buffer[], areThere = false): number {
    return finish(this.deleteInParts(names, areThere));
  }

  /** The same, with a stop wherever others may have their turn. The body is saved afterwards. */
  *deleteInParts(names: readonly Buffer[], areThere = false): Generator<void, number> {
    const { size, form } = this;
    const isMost = (deleted: number): boolean =>
      deleted >= size || (deleted * 2 > size && deleted > this.place.access.bodyLimits.rebuildAbove);
    if (form instanceof LargeNames && isMost(names.length)) {
      if (!areThere) this.prefetch(names);
      const present = new Set<string>();
      for (const name of names) {
        if (areThere || form.get(name) !== undefined) present.add(name.toString('latin1'));
        yield;
      }
      if (isMost(present.size)) {
        const kept = new PackedNames(this.place, form.bits);
        if (present.size < size) {
          for (const { name, value, expireMs } of form.entries()) {
            if (!present.has(name.toString('latin1'))) kept.set(name, value, expireMs);
            yield;
          }
        }
        this.form = kept;
        return present.size;
      }
    }
    if (form instanceof LargeNames) form.prefetchDeletes(names);
    let deleted = 0;
    for (const name of names) {
      if (form.delete(name)) deleted++;
      yield;
    }
    return deleted;
  }

  /** Whether so many names are better drawn one by one. */
  private mayDraw(count: number): boolean {
    return count <= FEW_DRAWS || this.place.access.view.prefetch === undefined;
  }

  protected get encodings(): EncodingThresholds {
    return this.place.access.encodings;
  }

  /** Notes for OBJECT ENCODING what stays true from now on. */
  protected note(bit: number): void {
    this.form.bits |= bit;
  }
}
