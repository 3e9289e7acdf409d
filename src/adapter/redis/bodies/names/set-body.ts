/** Sets. */
import { parseInteger } from '../../protocol/index.ts';
import { ValueType } from '../../values/index.ts';
import { type BodyAccess, BodyBit } from '../rows/index.ts';
import { NamedBody } from './named-body.ts';
import { NO_EXPIRY, NO_VALUE } from './named-form.ts';

/** Redis makes a set anew when SPOP takes at least so many times what it leaves: an intset again, if that fits. */
const POPPED_TO_LEFT = 5;

/** A set, in whichever form; what holds for a `HashBody` holds here. */
export class SetBody extends NamedBody {
  has(member: Buffer): boolean {
    return this.form.get(member) !== undefined;
  }

  /** @returns true when the member is new */
  add(member: Buffer): boolean {
    const isNew = this.form.set(member, NO_VALUE, NO_EXPIRY);
    if (isNew) this.noteMember(member);
    return isNew;
  }

  /** @returns how many of the members were there */
  delete(members: readonly Buffer[]): number {
    return this.deleteAll(members);
  }

  /** Removes random members, each choice with the same chance. */
  pop(count: number): Buffer[] {
    const members = this.randomDistinct(count);
    this.deleteAll(members, true);
    if (this.size * POPPED_TO_LEFT <= members.length) {
      this.form.bits = 0;
      for (const member of this.form.names()) this.noteMember(member);
    }
    return members;
  }

  /** All members; costs a row for each of their pages. */
  members(): Iterable<Buffer> {
    return this.form.names();
  }

  /** As OBJECT ENCODING names it. */
  get encoding(): 'intset' | 'hashtable' {
    return (this.form.bits & (BodyBit.NotInteger | BodyBit.Many)) === 0 ? 'intset' : 'hashtable';
  }

  private noteMember(member: Buffer): void {
    if (parseInteger(member) === undefined) this.note(BodyBit.NotInteger);
    if (this.size > this.encodings.setIntegers) this.note(BodyBit.Many);
  }
}

/** The set of a key, without members when the key does not exist. @throws RedisError WRONGTYPE */
export const openSet = (access: BodyAccess, userKey: Buffer): SetBody =>
  new SetBody(access, userKey, ValueType.Set, false);

/** A set without members that replaces whatever the key holds when it is saved, expiry and all. */
export const newSet = (access: BodyAccess, userKey: Buffer): SetBody =>
  new SetBody(access, userKey, ValueType.Set, true);
