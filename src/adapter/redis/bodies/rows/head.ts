/**
 * The head of a collection, and the only function that creates, changes, replaces or deletes one.
 *
 *   packed  type (u8)  flags (u8)  form (u8)  bits (u8)  elements
 *   large   type (u8)  flags (u8)  form (u8)  incarnation (8 bytes)  count (varint)  bits (u8)  home (u8)  what the type needs
 *   both    with a flag, of hashes whose fields expire: expiry of the key (8 bytes)  expiry of the last field (8 bytes)
 *
 * `bits` are facts that stay once they are true, for OBJECT ENCODING, and the armed bit. `home` says where the rows are; 0 is behind this head,
 * and a reader that meets another value refuses.
 *
 * In-place changes of a large body leave the head as it is, so the version of its head says nothing by itself. WATCH arms the head: it writes it
 * once with the armed bit. The first change after that writes the head without it, so the version changes exactly when the body does.
 */
import { assert, type HlcTimestamp, NEVER } from '../../../../platform/index.ts';
import { INCARNATION_BYTES, VALUE_HEADER_BYTES, ValueForm, varintBytes, writeVarint } from '../../keys/index.ts';
import { FeatureInactiveError } from '../../protocol/index.ts';
import {
  FIELD_EXPIRIES,
  FIELD_EXPIRIES_BYTES,
  readTyped,
  readValue,
  rowExpiry,
  type TypedValue,
  ValueType,
  writeFieldExpiries,
  writeValueHeader,
  writtenLater,
} from '../../values/index.ts';
import type { BodyAccess } from './access.ts';
import { ByteReader } from './byte-reader.ts';

/** Bits of a body. Disk values: never change; unknown ones are kept. */
export const BodyBit = {
  /** An element, field or value of more than 64 bytes was seen. */
  LongElement: 0x01,
  /** A member that is no integer was seen (sets). */
  NotInteger: 0x02,
  /** More elements than Redis keeps in its compact encoding were seen. */
  Many: 0x04,
  /** Somebody watches the version of the head. */
  Armed: 0x80,
} as const;

/** Where the rows of a body are: behind its own head. */
const HOME_HERE = 0;

/** What a head says. */
export type Head = PackedHead | LargeHead;

interface AnyHead {
  readonly type: ValueType;
  /** When the last field of a hash expires, 0n when some field does not; left out when no field has an expiry. */
  readonly lastFieldTs?: HlcTimestamp | undefined;
}

export interface PackedHead extends AnyHead {
  readonly form: typeof ValueForm.Packed;
  readonly bits: number;
  readonly elements: Buffer;
}

export interface LargeHead extends AnyHead {
  readonly form: typeof ValueForm.Large;
  readonly bits: number;
  readonly incarnation: Buffer;
  readonly count: number;
  /** What the type needs. */
  readonly part: Buffer;
}

/** A head as it was read. */
export interface StoredHead {
  readonly head: Head;
  /** Of the key; that of its row may be earlier. 0n is never. */
  readonly expireTs: HlcTimestamp;
}

/** What becomes of the expiry when a head is written: it stays (a new head has none), or it is this; 0n is never. */
export type NewExpiry = 'keep' | HlcTimestamp;

/** The bytes of a head. @param expireTs of the key */
export function encodeHead(head: Head, expireTs: HlcTimestamp): Buffer {
  const { type, form, lastFieldTs } = head;
  const after = lastFieldTs === undefined ? 0 : FIELD_EXPIRIES_BYTES;
  const before = form === ValueForm.Packed ? VALUE_HEADER_BYTES : VALUE_HEADER_BYTES + INCARNATION_BYTES;
  const size = form === ValueForm.Packed ? 1 + head.elements.length : varintBytes(head.count) + 2 + head.part.length;
  const value = Buffer.allocUnsafe(before + size + after);
  writeValueHeader(value, type, form, lastFieldTs === undefined ? 0 : FIELD_EXPIRIES);
  if (lastFieldTs !== undefined) writeFieldExpiries(value, expireTs, lastFieldTs);
  if (form === ValueForm.Packed) {
    value[before] = head.bits;
    head.elements.copy(value, before + 1);
    return value;
  }
  head.incarnation.copy(value, VALUE_HEADER_BYTES);
  const at = writeVarint(value, before, head.count);
  value[at] = head.bits;
  value[at + 1] = HOME_HERE;
  head.part.copy(value, at + 2);
  return value;
}

/** @throws RedisError when a later program wrote it */
export function decodeHead({ type, form, payload, lastFieldTs }: TypedValue): Head {
  const reader = new ByteReader(payload);
  const any = { type: type as ValueType, lastFieldTs };
  if (form === ValueForm.Packed) return { ...any, form, bits: reader.byte(), elements: reader.rest() };
  const incarnation = reader.take(INCARNATION_BYTES);
  const count = reader.varint();
  const bits = reader.byte();
  if (reader.byte() !== HOME_HERE) throw writtenLater();
  return { ...any, form, bits, incarnation, count, part: reader.rest() };
}

/** Reads the head of a collection; undefined when the key does not exist. @throws RedisError WRONGTYPE when it holds another type */
export function readHead(
  access: Pick<BodyAccess, 'view' | 'storageKey'>,
  userKey: Buffer,
  type: ValueType,
): StoredHead | undefined {
  const value = readTyped(access, userKey, type);
  return value === undefined ? undefined : { head: decodeHead(value), expireTs: value.expireTs };
}

/**
 * The incarnation of a body that is made anew.
 * @throws FeatureInactiveError before any of its rows is written: without their head they would be garbage that release 0.1.0 does not collect
 */
export function drawIncarnation(access: MayCreate & Pick<BodyAccess, 'random'>, type: ValueType): Buffer {
  checkMayCreate(access, type);
  return access.random.bytes(INCARNATION_BYTES);
}

type MayCreate = Pick<BodyAccess, 'mayCreateBodies' | 'mayCreateStreams'>;

function checkMayCreate({ mayCreateBodies, mayCreateStreams }: MayCreate, type: ValueType): void {
  if (!mayCreateBodies || (type === ValueType.Stream && !mayCreateStreams)) throw new FeatureInactiveError();
}

/** What a head has of elements: how many, or how many bytes. */
const sizeIn = (head: Head): number => (head.form === ValueForm.Packed ? head.elements.length : head.count);

/** Only streams exist without elements: they remember ids and groups. */
const isEmpty = (head: Head): boolean => head.type !== ValueType.Stream && sizeIn(head) === 0;

/**
 * Makes the head of a key what it is to be. A body without elements is deleted with its key, one that has expired as it is written too, and the
 * armed bit is cleared. Rows of an incarnation that the head names no more need no deletion: nobody can reach them.
 * @param before what was read, undefined when the body replaces whatever the key holds
 * @param after undefined deletes the key
 * @throws FeatureInactiveError when there was no body, and not every node is known to be able to read one
 */
export function writeHead(
  access: MayCreate & Pick<BodyAccess, 'view'>,
  headKey: Buffer,
  before: StoredHead | undefined,
  after: Head | undefined,
  expiry: NewExpiry,
): void {
  const expireTs = expiry === 'keep' ? (before?.expireTs ?? NEVER) : expiry;
  const rowTs = rowExpiry({ ofKey: expireTs, ofLastField: after?.lastFieldTs });
  const { view } = access;
  const isGone = after === undefined || isEmpty(after) || (rowTs !== NEVER && rowTs <= view.ts);
  if (!isGone) {
    if (before === undefined) checkMayCreate(access, after.type);
    view.put(headKey, encodeHead({ ...after, bits: after.bits & ~BodyBit.Armed }, expireTs), rowTs);
  } else if (view.get(headKey) !== undefined) view.delete(headKey);
}

/**
 * Makes the version of a key's head change with the next change of the body, for WATCH. Writes the head of a large body that is not armed, and
 * nothing otherwise: every change of a string or a packed body writes its head anyway.
 * @returns true when it was written
 */
export function armBody(access: Pick<BodyAccess, 'view' | 'storageKey'>, userKey: Buffer): boolean {
  const value = readValue(access, userKey);
  if (value === undefined || value.form !== ValueForm.Large) return false;
  const head = decodeHead(value);
  if ((head.bits & BodyBit.Armed) !== 0) return false;
  const { expireTs, lastFieldTs } = value;
  const armed = encodeHead({ ...head, bits: head.bits | BodyBit.Armed }, expireTs);
  access.view.put(access.storageKey(userKey), armed, rowExpiry({ ofKey: expireTs, ofLastField: lastFieldTs }));
  return true;
}

/** The head of one key while a command changes its body. */
export class HeadPlace {
  readonly access: BodyAccess;
  readonly key: Buffer;
  readonly type: ValueType;
  private before: StoredHead | undefined;

  /** @param before undefined when the body replaces whatever the key holds */
  constructor(access: BodyAccess, key: Buffer, type: ValueType, before: StoredHead | undefined) {
    this.access = access;
    this.key = key;
    this.type = type;
    this.before = before;
  }

  /** Whether rows come from afar, and it is worth saying beforehand which ones will be read. */
  get isAfar(): boolean {
    const { view } = this.access;
    return view.prefetch !== undefined && view.hasWholeObjects !== true;
  }

  /** Bits of the body as it was read. */
  get bits(): number {
    return (this.before?.head.bits ?? 0) & ~BodyBit.Armed;
  }

  /**
   * Writes the head, unless that would change nothing that anybody can see. A change that leaves all as it was is seen by WATCH.
   * @param isTouched whether an element was written since the head was read
   */
  write(after: Head, expiry: NewExpiry, isTouched: boolean): void {
    const { before } = this;
    assert(after.type === this.type, 'a head has the type of its body');
    const isWatchable =
      before !== undefined && (before.head.form === ValueForm.Packed || (before.head.bits & BodyBit.Armed) !== 0);
    const isSame =
      before !== undefined &&
      expiry === 'keep' &&
      !(isTouched && isWatchable) &&
      sizeIn(after) === sizeIn(before.head) &&
      encodeHead(after, NEVER).equals(encodeHead({ ...before.head, bits: this.bits }, NEVER));
    if (isSame) return;
    writeHead(this.access, this.key, before, after, expiry);
    this.before = { head: after, expireTs: expiry === 'keep' ? (before?.expireTs ?? NEVER) : expiry };
  }
}
