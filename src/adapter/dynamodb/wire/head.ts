/** The head of a request, whoever has parsed it: by names and values, and no more of HTTP than this protocol looks at. */
import type { IncomingMessage } from 'node:http';
import { signedValues } from './signature.ts';

/** See the top of the file. */
export interface RequestHead {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
  /** Values by lower-case names, as they are signed: blanks are one blank, repeated ones stand behind each other. */
  readonly values: ReadonlyMap<string, string>;
  /** The value of one header; of some that are repeated the first counts. @param name in lower case */
  header(name: string): string | undefined;
}

/** The head of a request that node has parsed. */
export class NodeHead implements RequestHead {
  readonly method: string;
  readonly url: string;
  private readonly request: IncomingMessage;
  private signed: ReadonlyMap<string, string> | undefined;

  constructor(request: IncomingMessage) {
    this.request = request;
    this.method = request.method ?? '';
    this.url = request.url ?? '/';
  }

  get values(): ReadonlyMap<string, string> {
    this.signed ??= signedValues(this.request.rawHeaders);
    return this.signed;
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : undefined;
  }
}

/** How the head of a lean request begins, which is what all SDKs send. */
export const LEAN_LINE = 'POST / HTTP/1.1\r\n';
/** Lower-case names by the names as clients write them; there are few. */
const NAMES = new Map<string, string>();
const MAX_NAMES = 256;
const MAX_NAME_CHARACTERS = 64;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LENGTH = /^\d{1,9}$/;
/** What asks for more than an answer, or says in another way where the body ends. */
const DEMANDS = ['transfer-encoding', 'expect', 'upgrade', 'trailer', 'te'] as const;

const [CR, LF, BLANK, DELETE] = [0x0d, 0x0a, 0x20, 0x7f];

/** The head of a request that says what it says in one way only: no two parsers can disagree about it. */
export class LeanHead implements RequestHead {
  readonly method = 'POST';
  readonly url = '/';
  readonly values: ReadonlyMap<string, string>;
  /** Of the body. */
  readonly bodyBytes: number;

  constructor(values: ReadonlyMap<string, string>, bodyBytes: number) {
    this.values = values;
    this.bodyBytes = bodyBytes;
  }

  header(name: string): string | undefined {
    return this.values.get(name);
  }
}

function lowerName(name: string): string | undefined {
  const known = NAMES.get(name);
  if (known !== undefined) return known;
  if (name.length > MAX_NAME_CHARACTERS || !TOKEN.test(name)) return undefined;
  const lower = name.toLowerCase();
  if (NAMES.size < MAX_NAMES) NAMES.set(name, lower);
  return lower;
}

/** Where a value ends that begins at `from`; -1 when it has anything but printable ASCII with single blanks between. */
function plainEnd(text: string, from: number): number {
  let before = BLANK;
  let at = from;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === CR) break;
    if (code < BLANK || code >= DELETE || (code === BLANK && before === BLANK)) return -1;
    before = code;
  }
  const isWhole = at === text.length || text.charCodeAt(at + 1) === LF;
  return before === BLANK || !isWhole ? -1 : at;
}

/**
 * Reads a head that needs no knowledge of HTTP.
 * @param text without the empty line at its end
 * @returns undefined for every other head, wrong or not
 */
export function parseLeanHead(text: string): LeanHead | undefined {
  if (!text.startsWith(LEAN_LINE)) return undefined;
  const values = new Map<string, string>();
  for (let at = LEAN_LINE.length; at < text.length; ) {
    const colon = text.indexOf(':', at);
    if (colon < 0) return undefined;
    const name = lowerName(text.slice(at, colon));
    const start = text.charCodeAt(colon + 1) === BLANK ? colon + 2 : colon + 1;
    const end = plainEnd(text, start);
    if (name === undefined || end < 0 || values.has(name)) return undefined;
    values.set(name, text.slice(start, end));
    at = end + 2;
  }
  const length = values.get('content-length');
  const connection = values.get('connection');
  const isLean =
    values.has('host') &&
    length !== undefined &&
    LENGTH.test(length) &&
    (connection === undefined || connection.toLowerCase() === 'keep-alive') &&
    !DEMANDS.some((name) => values.has(name));
  return isLean ? new LeanHead(values, Number(length)) : undefined;
}
