/** Reads JSON into values of Lua. */
import { readDoublePrefix } from '../../protocol/index.ts';
import type { LuaApi } from '../engine/index.ts';
import type { JsonSettings } from './cjson-settings.ts';

type TokenType =
  | 'T_OBJ_BEGIN'
  | 'T_OBJ_END'
  | 'T_ARR_BEGIN'
  | 'T_ARR_END'
  | 'T_STRING'
  | 'T_NUMBER'
  | 'T_BOOLEAN'
  | 'T_NULL'
  | 'T_COLON'
  | 'T_COMMA'
  | 'T_END'
  | 'T_ERROR';

interface Token {
  readonly type: TokenType;
  /** Where it stands, from 0 on. */
  readonly at: number;
  readonly bytes?: Buffer;
  readonly number?: number;
  readonly isTrue?: boolean;
  /** What is wrong there. */
  readonly error?: string;
}

const PUNCTUATION: Readonly<Record<string, TokenType>> = {
  '{': 'T_OBJ_BEGIN',
  '}': 'T_OBJ_END',
  '[': 'T_ARR_BEGIN',
  ']': 'T_ARR_END',
  ':': 'T_COLON',
  ',': 'T_COMMA',
};
const BLANKS = ' \t\n\r';
const ESCAPED: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** What reading a byte costs. */
const INSTRUCTIONS_A_BYTE = 2;

/** Longest spelling of a number that is looked at. */
const NUMBER_BYTES_MAX = 1_100;
/** What C takes for a number and JSON does not. */
const INVALID_NUMBER = /^(?:\+|-?0[x0-9]|-?inf|-?nan)/i;

export class JsonDecoder {
  private readonly api: LuaApi;
  private readonly state: number;
  private readonly settings: JsonSettings;
  private readonly text: Buffer;
  private position = 0;
  private depth = 0;

  constructor(api: LuaApi, state: number, settings: JsonSettings, text: Buffer) {
    this.api = api;
    this.state = state;
    this.settings = settings;
    this.text = text;
  }

  /** Pushes the value that the whole text is. */
  push(): void {
    const { text } = this;
    if (text.length >= 2 && (text[0] === 0 || text[1] === 0)) {
      this.api.raiseHere(this.state, 'JSON parser does not support UTF-16 or UTF-32');
    }
    this.api.onWork(text.length * INSTRUCTIONS_A_BYTE);
    this.value(this.next());
    const rest = this.next();
    if (rest.type !== 'T_END') this.refuse('the end', rest);
  }

  private refuse(expected: string, token: Token): never {
    const found = token.error ?? token.type;
    return this.api.raiseHere(this.state, `Expected ${expected} but found ${found} at character ${token.at + 1}`);
  }

  private value(token: Token): void {
    const { api, state } = this;
    switch (token.type) {
      case 'T_STRING':
        api.pushBytes(state, token.bytes!);
        return;
      case 'T_NUMBER':
        api.pushNumber(state, token.number!);
        return;
      case 'T_BOOLEAN':
        api.pushBoolean(state, token.isTrue!);
        return;
      case 'T_NULL':
        api.pushNullPointer(state);
        return;
      case 'T_OBJ_BEGIN':
        this.object();
        return;
      case 'T_ARR_BEGIN':
        this.array();
        return;
      default:
        this.refuse('value', token);
    }
  }

  private descend(): void {
    this.depth++;
    if (this.depth <= this.settings.decodeDepth && this.api.hasRoom(this.state, 3)) return;
    this.api.raiseHere(
      this.state,
      `Found too many nested data structures (${this.depth}) at character ${this.position}`,
    );
  }

  private object(): void {
    const { api, state } = this;
    this.descend();
    api.newTable(state);
    let token = this.next();
    while (token.type !== 'T_OBJ_END') {
      if (token.type !== 'T_STRING') this.refuse('object key string', token);
      api.pushBytes(state, token.bytes!);
      const colon = this.next();
      if (colon.type !== 'T_COLON') this.refuse('colon', colon);
      this.value(this.next());
      api.rawSet(state, -3);
      const separator = this.next();
      if (separator.type === 'T_OBJ_END') break;
      if (separator.type !== 'T_COMMA') this.refuse('comma or object end', separator);
      token = this.next();
      // A comma is followed by another field.
      if (token.type === 'T_OBJ_END') this.refuse('object key string', token);
    }
    this.depth--;
  }

  private array(): void {
    const { api, state } = this;
    this.descend();
    api.newTable(state);
    let token = this.next();
    for (let position = 1; position > 1 || token.type !== 'T_ARR_END'; position++) {
      this.value(token);
      api.rawSetAt(state, -2, position);
      const separator = this.next();
      if (separator.type === 'T_ARR_END') break;
      if (separator.type !== 'T_COMMA') this.refuse('comma or array end', separator);
      token = this.next();
    }
    this.depth--;
  }

  private next(): Token {
    const { text } = this;
    while (this.position < text.length && BLANKS.includes(String.fromCharCode(text[this.position]!))) this.position++;
    const at = this.position;
    const byte = text[at];
    // A zero byte ends the text, as it ends C's strings.
    if (byte === undefined || byte === 0) return { type: 'T_END', at };
    const character = String.fromCharCode(byte);
    const punctuation = PUNCTUATION[character];
    if (punctuation !== undefined) {
      this.position++;
      return { type: punctuation, at };
    }
    if (byte === QUOTE) return this.string(at);
    const word = text.toString('latin1', at, at + 5);
    if (character === '-' || (character >= '0' && character <= '9')) {
      if (this.settings.decodeInvalid === 'off' && INVALID_NUMBER.test(word)) return this.invalidNumber(at);
      return this.number(at);
    }
    if (word.startsWith('true')) return this.word({ type: 'T_BOOLEAN', at, isTrue: true }, 4);
    if (word.startsWith('false')) return this.word({ type: 'T_BOOLEAN', at, isTrue: false }, 5);
    if (word.startsWith('null')) return this.word({ type: 'T_NULL', at }, 4);
    if (this.settings.decodeInvalid === 'on' && INVALID_NUMBER.test(word)) return this.number(at);
    return { type: 'T_ERROR', at, error: 'invalid token' };
  }

  private word(token: Token, bytes: number): Token {
    this.position += bytes;
    return token;
  }

  private invalidNumber(at: number): Token {
    return { type: 'T_ERROR', at, error: 'invalid number' };
  }

  private number(at: number): Token {
    const { value, length } = readDoublePrefix(this.text.toString('latin1', at, at + NUMBER_BYTES_MAX));
    if (length === 0) return this.invalidNumber(at);
    this.position += length;
    return { type: 'T_NUMBER', at, number: value };
  }

  private string(at: number): Token {
    const { text } = this;
    let end = at + 1;
    while (end < text.length && text[end] !== QUOTE && text[end] !== BACKSLASH && text[end] !== 0) end++;
    if (text[end] === QUOTE) {
      this.position = end + 1;
      return { type: 'T_STRING', at, bytes: text.subarray(at + 1, end) };
    }
    const pieces: Buffer[] = [text.subarray(at + 1, end)];
    for (;;) {
      const byte = text[end];
      if (byte === undefined || byte === 0) return { type: 'T_ERROR', at: end, error: 'unexpected end of string' };
      if (byte === QUOTE) break;
      if (byte !== BACKSLASH) {
        let stop = end + 1;
        while (stop < text.length && text[stop] !== QUOTE && text[stop] !== BACKSLASH && text[stop] !== 0) stop++;
        pieces.push(text.subarray(end, stop));
        end = stop;
        continue;
      }
      const kind = String.fromCharCode(text[end + 1] ?? 0);
      if (kind === 'u') {
        const unicode = unicodeAt(text, end);
        if (unicode === undefined) return { type: 'T_ERROR', at: end, error: 'invalid unicode escape code' };
        pieces.push(unicode.bytes);
        end += unicode.taken;
        continue;
      }
      const plain = ESCAPED[kind];
      if (plain === undefined) return { type: 'T_ERROR', at: end, error: 'invalid escape code' };
      pieces.push(Buffer.from(plain, 'latin1'));
      end += 2;
    }
    this.position = end + 1;
    return { type: 'T_STRING', at, bytes: Buffer.concat(pieces) };
  }
}

/** The character of an escape `\uXXXX`, or of two for what lies beyond 16 bits. */
function unicodeAt(text: Buffer, at: number): { readonly bytes: Buffer; readonly taken: number } | undefined {
  const high = hexAt(text, at + 2);
  if (high === undefined) return undefined;
  if ((high & 0xf800) !== 0xd800) return { bytes: Buffer.from(String.fromCharCode(high), 'utf8'), taken: 6 };
  if ((high & 0x400) !== 0 || text[at + 6] !== BACKSLASH || text[at + 7] !== 0x75) return undefined;
  const low = hexAt(text, at + 8);
  if (low === undefined || (low & 0xfc00) !== 0xdc00) return undefined;
  return { bytes: Buffer.from(String.fromCharCode(high, low), 'utf8'), taken: 12 };
}

function hexAt(text: Buffer, at: number): number | undefined {
  const digits = text.toString('latin1', at, at + 4);
  return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}
