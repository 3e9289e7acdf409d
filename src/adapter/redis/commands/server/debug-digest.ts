/**
 * The digests of DEBUG DIGEST and DEBUG DIGEST-VALUE, as Redis 7.0 makes them: the same data has the same digest on both, however it is
 * laid out. SHA-1 names contents here, it guards nothing.
 */
import { createHash } from 'node:crypto';
import {
  MAX_ID,
  MIN_ID,
  msOf,
  openHash,
  openList,
  openOrdered,
  openSet,
  openStream,
  readString,
  seqOf,
} from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { doubleText } from '../../protocol/index.ts';
import { readValue, type TypedValue, ValueType } from '../../values/index.ts';

export const DIGEST_BYTES = 20;

const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest();

/** A digest that grows. */
export class ContentDigest {
  readonly bytes = Buffer.alloc(DIGEST_BYTES);

  /** Adds something whose place does not matter. */
  add(part: Buffer): void {
    const hash = sha1(part);
    for (let at = 0; at < DIGEST_BYTES; at++) this.bytes[at]! ^= hash[at]!;
  }

  /** Adds something behind what there is. */
  append(part: Buffer): void {
    this.add(part);
    sha1(this.bytes).copy(this.bytes);
  }

  /** Adds parts in order, as one thing whose place does not matter. */
  addSequence(...parts: Buffer[]): void {
    const inner = new ContentDigest();
    for (const part of parts) inner.append(part);
    this.add(inner.bytes);
  }

  appendNumber(value: number): void {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value);
    this.append(part);
  }
}

function addContents(digest: ContentDigest, ctx: CommandContext, userKey: Buffer, value: TypedValue): void {
  switch (value.type) {
    case ValueType.Hash:
      for (const { name, value: own } of openHash(ctx, userKey).entries()) digest.addSequence(name, own);
      break;
    case ValueType.Set:
      for (const member of openSet(ctx, userKey).members()) digest.add(member);
      break;
    case ValueType.ZSet:
      for (const { member, score } of openOrdered(ctx, userKey).entries())
        digest.addSequence(member, Buffer.from(doubleText(score)));
      break;
    case ValueType.List:
      for (const element of openList(ctx, userKey).values()) digest.append(element);
      break;
    case ValueType.Stream:
      for (const { id, parts } of openStream(ctx, userKey)!.range(MIN_ID, MAX_ID)) {
        digest.append(Buffer.from(`${msOf(id)}.${seqOf(id)}`));
        for (const part of parts) digest.append(part);
      }
      break;
    default:
      digest.append(readString(ctx, userKey)!.payload);
  }
}

/** Numbers that Redis gives the types; those of stored values differ. */
const TYPE_NUMBERS: Readonly<Record<number, number>> = {
  [ValueType.String]: 0,
  [ValueType.List]: 1,
  [ValueType.Set]: 2,
  [ValueType.ZSet]: 3,
  [ValueType.Hash]: 4,
  [ValueType.Stream]: 6,
};

/** Adds a value and whether it has an expiry. */
function addValue(digest: ContentDigest, ctx: CommandContext, userKey: Buffer): void {
  const value = readValue(ctx, userKey);
  if (value === undefined) return;
  digest.appendNumber(TYPE_NUMBERS[value.type]!);
  addContents(digest, ctx, userKey, value);
  if (value.expireTs !== 0n) digest.add(Buffer.from('!!expire!!'));
}

/** Of a value alone; zeros for a key that does not exist. */
export function valueDigest(ctx: CommandContext, userKey: Buffer): Buffer {
  const digest = new ContentDigest();
  addValue(digest, ctx, userKey);
  return digest.bytes;
}

/** Of a key with its value, for the digest of everything. */
export function keyDigest(ctx: CommandContext, userKey: Buffer): Buffer {
  const digest = new ContentDigest();
  digest.append(userKey);
  addValue(digest, ctx, userKey);
  return digest.bytes;
}
