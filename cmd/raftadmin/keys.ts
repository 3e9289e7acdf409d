/**
 * Storage keys as people type and read them:
 *
 *   text          its UTF-8 bytes, with \xNN for any byte and \\ for a backslash
 *   hex:0a1b      bytes
 *   slot:N[/db]   the first storage key of a slot of Redis; other adapters may add forms of their own
 */
import { KEYSPACES_OF_ADAPTERS } from '../../src/adapter/keyspaces.ts';
import { KeyTextError } from '../../src/distribution/index.ts';

const BACKSLASH = 0x5c;

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
    if (match === null) throw new KeyTextError(`'${text}' has a backslash that is neither \\xNN nor \\\\`);
    key.push(match[1] === undefined ? BACKSLASH : Number.parseInt(match[1], 16));
    at += match[0].length;
  }
  return Buffer.from(key);
}

/** The key that somebody typed. @throws KeyTextError */
export function parseKey(text: string): Buffer {
  const key = KEYSPACES_OF_ADAPTERS.parse(text);
  if (key !== undefined) return key;
  if (!text.startsWith('hex:')) return parseText(text);
  const hex = text.slice(4);
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex))
    throw new KeyTextError(`'${text}' is not hexadecimal: it takes two digits a byte`);
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
  const named = KEYSPACES_OF_ADAPTERS.format(key);
  if (named !== undefined) return named;
  const text = Array.from(key, shownByte).join('');
  // Text that would be read as one of the other two.
  return /^(?:hex|slot):/.test(text) ? `\\x${key[0]!.toString(16)}${text.slice(1)}` : text;
}

/** Where a range starts. */
export const formatStart = (key: Buffer): string => (key.length === 0 ? '-inf' : formatKey(key));

/** Where a range ends, exclusively. */
export const formatEnd = (key: Buffer | undefined): string => (key === undefined ? '+inf' : formatKey(key));
