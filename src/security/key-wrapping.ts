/**
 * Keys that wrap other keys (envelope encryption). What is stored is encrypted with data keys that a program draws; those are stored
 * beside it, wrapped by a key that the operator has. So the operator's key changes without a byte of data being written again.
 *
 *   wrapped key   version u8 (1), name of the wrapping key (8), salt (16), the key encrypted (as long as it is), tag (16)
 *
 * Each wrapping draws its salt, from which a key for this one use is derived (HKDF-SHA-256); so no nonce can repeat, whatever happened to
 * clocks, counters or copies. The context is bound to the result: what was wrapped for one use or one folder opens for no other.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { assert, type Random } from '../platform/index.ts';
import { EncryptionKeyError, WrongEncryptionKeyError } from './errors.ts';

const VERSION = 1;
export const KEY_BYTES = 32;
const NAME_BYTES = 8;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NAME_BYTES + SALT_BYTES;
const NONCE = Buffer.alloc(12);
/** More at a time are no rotation. */
const MAX_KEYS = 16;

/** A key for one use, from a key, a salt and the name of the use. */
export const deriveKey = (key: Buffer, salt: Buffer, use: string, bytes: number = KEY_BYTES): Buffer =>
  Buffer.from(hkdfSync('sha256', key, salt, `kvorum ${use}`, bytes));

interface WrappingKey {
  /** Says which key it is, and nothing about it: hexadecimal. */
  readonly name: string;
  readonly key: Buffer;
}

/** What operators and messages call a key. */
const nameOf = (key: Buffer): string => deriveKey(key, Buffer.alloc(0), 'key name', NAME_BYTES).toString('hex');

function parseKey(text: string, what: string): Buffer {
  const key = /^[0-9a-f]{64}$/i.test(text)
    ? Buffer.from(text, 'hex')
    : /^[a-z0-9+/]{43}=$/i.test(text)
      ? Buffer.from(text, 'base64')
      : undefined;
  if (key === undefined) {
    throw new EncryptionKeyError(
      `${what} holds a line that is no key: one is 32 bytes, as 64 hexadecimal digits or in base64 (openssl rand -hex 32)`,
    );
  }
  return key;
}

/** The keys that an operator gives. The first wraps; all of them unwrap, so that keys can be changed one for the next. */
export class WrappingKeys {
  private readonly keys: readonly WrappingKey[];

  private constructor(keys: readonly WrappingKey[]) {
    assert(keys.length > 0, 'there is a key to wrap with');
    this.keys = keys;
  }

  /**
   * One key a line, the one to wrap with first; empty lines, and those that begin with #, are left out.
   * @param what names the source in errors, which never repeat what is in it
   * @throws EncryptionKeyError
   */
  static parse(text: string, what: string): WrappingKeys {
    const lines = text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
    if (lines.length === 0) throw new EncryptionKeyError(`${what} holds no key; it has one a line`);
    if (lines.length > MAX_KEYS) {
      throw new EncryptionKeyError(`${what} holds ${lines.length} keys; at most ${MAX_KEYS} count at a time`);
    }
    return new WrappingKeys(
      lines.map((line) => {
        const key = parseKey(line, what);
        return { name: nameOf(key), key };
      }),
    );
  }

  /** Name of the key that wraps. */
  get name(): string {
    return this.keys[0]!.name;
  }

  /** Names of all keys, the one that wraps first. */
  get names(): readonly string[] {
    return this.keys.map(({ name }) => name);
  }

  /**
   * @param context what the key is for, and of what; `unwrap` must be told the same
   * @param random the salts' source: a strong one
   */
  wrap(key: Buffer, context: string, random: Random): Buffer {
    const wrapping = this.keys[0]!;
    const salt = random.bytes(SALT_BYTES);
    const head = Buffer.concat([Buffer.from([VERSION]), Buffer.from(wrapping.name, 'hex'), salt]);
    const cipher = createCipheriv('aes-256-gcm', deriveKey(wrapping.key, salt, 'wrap'), NONCE);
    cipher.setAAD(Buffer.concat([head, Buffer.from(context)]));
    return Buffer.concat([head, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
  }

  /**
   * @param what names in errors what is wrapped
   * @throws WrongEncryptionKeyError when none of these keys has wrapped it
   * @throws EncryptionKeyError when it was changed since, or was wrapped for something else
   */
  unwrap(wrapped: Buffer, context: string, what: string): Buffer {
    if (wrapped.length < HEAD_BYTES + TAG_BYTES || wrapped[0] !== VERSION) {
      throw new EncryptionKeyError(`${what} holds no wrapped key that this version of kvorum knows`);
    }
    const name = nameOfWrapping(wrapped);
    const wrapping = this.keys.find((key) => key.name === name);
    if (wrapping === undefined) throw new WrongEncryptionKeyError(what, name, this.names);
    const head = wrapped.subarray(0, HEAD_BYTES);
    const salt = head.subarray(1 + NAME_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', deriveKey(wrapping.key, salt, 'wrap'), NONCE, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.concat([head, Buffer.from(context)]));
    decipher.setAuthTag(wrapped.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(wrapped.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch (error) {
      throw new EncryptionKeyError(`${what} holds a wrapped key that was changed, or that belongs elsewhere`, {
        cause: error,
      });
    }
  }
}

/** Name of the key that a wrapped key needs. */
export const nameOfWrapping = (wrapped: Buffer): string => wrapped.toString('hex', 1, 1 + NAME_BYTES);
