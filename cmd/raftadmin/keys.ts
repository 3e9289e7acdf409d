/**
 * Storage keys as people type and read them:
 *
 *   text          its UTF-8 bytes, with \xNN for any byte and \\ for a backslash
 *   hex:0a1b      bytes
 *   slot:N[/db]   the first storage key of a slot of Redis: 'r', database, two bytes of slot
 */

const REDIS_TAG = 0x72;
const SLOT_COUNT = 16_384;
const DATABASE_COUNT = 16;
const BACKSLASH = 0x5c;

/** A key that cannot be read; the message says what is wrong with it. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** The first storage key of a slot. */
export const slotKey = (slot: number, db = 0): Buffer => Buffer.from([REDIS_TAG, db, slot >>> 8, slot & 0xff]);

function parseSlot(text: string): Buffer {
  const match = /^(\d{1,5})(?:\/(\d{1,2}))?$/.exec(text);
  const [slot, db] = [Number(match?.[1]), Number(match?.[2] ?? 0)];
  if (match === null || slot >= SLOT_COUNT || db >= DATABASE_COUNT) {
    throw new KeyError(
      `'slot:${text}' is no slot: it must be slot:N or slot:N/db, N from 0 to ${SLOT_COUNT - 1}, db from 0 to ${DATABASE_COUNT - 1}`,
    );
  }
  return slotKey(slot, db);
}

function parseText(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const key: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte !== BACKSLASH) {
      key.push(byte);
      continue;
    }
    const match = /^(?:\\|x([0-9a-fA-F]{2}))/.exec(bytes.toString('latin1', at + 1, at + 4));
    if (match === null) throw new KeyError(`'${text}' has a backslash that is neither \\xNN nor \\\\`);
    key.push(match[1] === undefined ? BACKSLASH : Number.parseInt(match[1], 16));
    at += match[0].length;
  }
  return Buffer.from(key);
}

/** The key that somebody typed. @throws KeyError */
export function parseKey(text: string): Buffer {
  if (text.startsWith('slot:')) return parseSlot(text.slice(5));
  if (!text.startsWith('hex:')) return parseText(text);
  const hex = text.slice(4);
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex))
    throw new KeyError(`'${text}' is not hexadecimal: it takes two digits a byte`);
  return Buffer.from(hex, 'hex');
}

const shownByte = (byte: number): string =>
  byte === BACKSLASH
    ? '\\\\'
    : byte > 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`;

/** A key as `parseKey` reads it; blanks are escaped, so that a key is one word. */
export function formatKey(key: Buffer): string {
  if (key.length === 4 && key[0] === REDIS_TAG && key[1]! < DATABASE_COUNT) {
    const slot = key.readUInt16BE(2);
    if (slot < SLOT_COUNT) return key[1] === 0 ? `slot:${slot}` : `slot:${slot}/${key[1]}`;
  }
  const text = Array.from(key, shownByte).join('');
  // Text that would be read as one of the other two.
  return /^(?:hex|slot):/.test(text) ? `\\x${key[0]!.toString(16)}${text.slice(1)}` : text;
}

/** Where a range starts. */
export const formatStart = (key: Buffer): string => (key.length === 0 ? '-inf' : formatKey(key));

/** Where a range ends, exclusively. */
export const formatEnd = (key: Buffer | undefined): string => (key === undefined ? '+inf' : formatKey(key));
