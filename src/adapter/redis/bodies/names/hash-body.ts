/** Hashes. */
import type { Millis } from '../../../../platform/index.ts';
import { ValueType } from '../../values/index.ts';
import { type BodyAccess, BodyBit } from '../rows/index.ts';
import { LargeNames } from './large-names.ts';
import { NamedBody } from './named-body.ts';
import { type ElementExpiry, type NamedEntry, NO_EXPIRY } from './named-form.ts';

/**
 * A hash, in whichever form. Changes are to be saved before anybody else looks at the key, and a command opens a key once. Buffers that
 * it returns are views and must not be modified; those that it is given must not be modified before it is saved.
 */
export class HashBody extends NamedBody {
  get(field: Buffer): Buffer | undefined {
    return this.form.get(field);
  }

  has(field: Buffer): boolean {
    return this.form.get(field) !== undefined;
  }

  /** As of all bodies; the values of the fields come, too. */
  override prefetch(fields: readonly Buffer[]): void {
    if (this.form instanceof LargeNames) this.form.prefetchValues(fields);
  }

  /** Says that fields are about to expire at another time. @param expireMs left out: never */
  prefetchExpiries(fields: readonly Buffer[], expireMs?: Millis): void {
    if (this.form instanceof LargeNames) this.form.prefetchChanges(fields, expireMs);
  }

  /** When a field expires, unix ms; `NO_EXPIRY` when it does not, undefined when it is not there. */
  expiryOf(field: Buffer): Millis | undefined {
    return this.form.expiryOf(field);
  }

  /** @param expireMs in the future, or `NO_EXPIRY`; the field must be there */
  setExpiry(field: Buffer, expireMs: Millis): void {
    this.form.setExpiry(field, expireMs);
  }

  /**
   * @param expiry of the field from now on, in the future; it has none unless that is said
   * @returns true when the field is new
   */
  set(field: Buffer, value: Buffer, expiry: ElementExpiry = NO_EXPIRY): boolean {
    const isNew = this.form.set(field, value, expiry);
    const { hashFields, hashBytes } = this.encodings;
    if (Math.max(field.length, value.length) > hashBytes) this.note(BodyBit.LongElement);
    if (this.size > hashFields) this.note(BodyBit.Many);
    return isNew;
  }

  /** @returns how many of the fields were there */
  delete(fields: readonly Buffer[]): number {
    return this.deleteAll(fields);
  }

  /** All fields; costs a row for each of their pages. */
  fields(): Iterable<Buffer> {
    return this.form.names();
  }

  /** All fields with their values; costs a row for each of them too. */
  entries(): Iterable<NamedEntry> {
    return this.form.entries();
  }

  /** As OBJECT ENCODING names it. */
  get encoding(): 'listpack' | 'hashtable' {
    return (this.form.bits & (BodyBit.LongElement | BodyBit.Many)) === 0 ? 'listpack' : 'hashtable';
  }
}

/** The hash of a key, without fields when the key does not exist. @throws RedisError WRONGTYPE */
export const openHash = (access: BodyAccess, userKey: Buffer): HashBody =>
  new HashBody(access, userKey, ValueType.Hash, false);

/** A hash without fields that replaces whatever the key holds when it is saved, expiry and all. */
export const newHash = (access: BodyAccess, userKey: Buffer): HashBody =>
  new HashBody(access, userKey, ValueType.Hash, true);
