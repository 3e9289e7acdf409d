/**
 * Signature Version 4 from the side that checks it: the header is read and its terms are looked at before the body is there, the signature itself
 * when it is. Texts and their order are the service's.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import type { Millis } from '../../../platform/index.ts';
import { DynamoError, type DynamoErrorType } from '../errors/index.ts';
import type { Credential, CredentialSource } from './credentials.ts';
import { SigningKey } from './signing-key.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';
const SERVICE = 'dynamodb';
const TERMINATOR = 'aws4_request';
/** How far the clocks of client and server may differ. */
const WINDOW_MS: Millis = 15 * 60_000;
/** Keys derived for (access key, day, region); a client has one or two. */
const MAX_DERIVED_KEYS = 256;
/** A request has a dozen headers. */
const MAX_SIGNED_HEADERS = 64;
/** Headers that were read before, without their signatures: a client sends one a day for each set of headers that it signs. */
const MAX_KNOWN_HEADERS = 1_000;
const MAX_KNOWN_CHARACTERS = 1_024;
const REGION = /^[a-z0-9-]{1,64}$/i;
const SIGNATURE = /^[0-9a-f]{64}$/;

/** What of a request is signed beside its headers and its body. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
}

/** The terms of a signature: all that its header says. */
export interface SignatureTerms {
  readonly credential: Credential;
  readonly region: string;
  /** `YYYYMMDD`. */
  readonly day: string;
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly time: string;
  /** `YYYYMMDD/region/dynamodb/aws4_request`. */
  readonly scope: string;
  /** In the order in which they were signed. */
  readonly signedHeaders: readonly string[];
  /** The same with semicolons between. */
  readonly signedNames: string;
  readonly signature: string;
}

const refused = (type: DynamoErrorType, message: string): DynamoError => new DynamoError(type, message);

const WRONG_SIGNATURE =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. ' +
  'Consult the service documentation for details.';

const SIGNATURE_PARAMETER = 'Signature=';

/** `20260131T123456Z`. */
export function compactTime(atMs: Millis): string {
  return new Date(atMs).toISOString().replace(/[-:]|\.\d+/g, '');
}

/** @returns milliseconds since 1970; undefined when the text is no such time */
function parseCompactTime(text: string): Millis | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const atMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(atMs) ? undefined : atMs;
}

const BLANKS = /^\s|\s$|\s\s|[^\S ]/;

/** The value of a header as it is signed. */
const signedValue = (value: string): string => (BLANKS.test(value) ? value.trim().replace(/\s+/g, ' ') : value);

/**
 * All values of headers by lower-case names, repeated ones joined as they are signed.
 * @param rawHeaders names and values in turn, as they were sent; names in any case, repeated ones in their order
 */
export function signedValues(rawHeaders: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const value = signedValue(rawHeaders[at + 1]!);
    const earlier = values.get(name);
    values.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  return values;
}

/** The parameters of an Authorization header behind the name of the algorithm. */
function parametersOf(header: string): Map<string, string> {
  const parameters = new Map<string, string>();
  const blank = header.search(/\s/);
  if (blank < 0) return parameters;
  for (const part of header.slice(blank).split(/[,\s]+/)) {
    const equals = part.indexOf('=');
    if (equals > 0) parameters.set(part.slice(0, equals), part.slice(equals + 1));
  }
  return parameters;
}

/** Time of a request from its headers: `X-Amz-Date`, or `Date`, which may also be written as HTTP does it. */
function timeOfRequest(values: ReadonlyMap<string, string>): string | undefined {
  const own = values.get('x-amz-date');
  if (own !== undefined) return own;
  const date = values.get('date');
  if (date === undefined || parseCompactTime(date) !== undefined) return date;
  const atMs = Date.parse(date);
  return Number.isNaN(atMs) ? date : compactTime(atMs);
}

/**
 * Reads the terms of a signature, and refuses what cannot be right whatever the body is.
 * @param nowMs on the wall clock
 * @throws DynamoError
 */
export function readSignatureTerms(
  { url }: SignedRequest,
  values: ReadonlyMap<string, string>,
  credentials: CredentialSource,
  nowMs: Millis,
): SignatureTerms {
  const header = values.get('authorization');
  const query = url.indexOf('?');
  if (query >= 0 && /[?&]x-amz-(?:algorithm|signature|credential)=/i.test(url.slice(query))) {
    // A link that is signed is a link that anybody may pass on; no SDK makes one for this service.
    throw refused(
      'InvalidSignatureException',
      header === undefined
        ? 'A signature in the query string is not accepted: sign the request with the Authorization header.'
        : "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    );
  }
  if (header === undefined || !header.startsWith('AWS4-')) {
    throw refused('MissingAuthenticationTokenException', 'Request is missing Authentication Token');
  }
  const parameters = parametersOf(header);
  const time = timeOfRequest(values);
  requireComplete(header, parameters, time);
  const requestMs = parseCompactTime(time!);
  if (requestMs === undefined) {
    throw refused(
      'IncompleteSignatureException',
      `Date must be in ISO-8601 'basic format'. Got '${time}'. See http://en.wikipedia.org/wiki/ISO_8601`,
    );
  }
  requireNow(time!, requestMs, nowMs);
  const signedNames = parameters.get('SignedHeaders')!.toLowerCase();
  const signedHeaders = signedNames.split(';');
  requireHeaders(signedHeaders, values);
  const algorithm = header.slice(0, header.search(/\s/));
  if (algorithm !== ALGORITHM) {
    throw refused(
      'IncompleteSignatureException',
      `Unsupported AWS 'algorithm': '${algorithm}' (only ${ALGORITHM} for now). `,
    );
  }
  const { accessKeyId, region, day } = scopeOf(parameters.get('Credential')!, time!);
  const credential = credentials.find(accessKeyId);
  if (credential === undefined) {
    throw refused('UnrecognizedClientException', 'The security token included in the request is invalid.');
  }
  const scope = `${day}/${region}/${SERVICE}/${TERMINATOR}`;
  const signature = parameters.get('Signature')!;
  return { credential, region, day, time: time!, scope, signedHeaders, signedNames, signature };
}

function requireComplete(header: string, parameters: ReadonlyMap<string, string>, time: string | undefined): void {
  let missing = '';
  for (const name of ['Credential', 'Signature', 'SignedHeaders']) {
    if (!parameters.get(name)) missing += `Authorization header requires '${name}' parameter. `;
  }
  if (time === undefined) {
    missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
  }
  if (missing !== '') throw refused('IncompleteSignatureException', `${missing}Authorization=${header}`);
}

const isNow = (requestMs: Millis, nowMs: Millis): boolean => Math.abs(requestMs - nowMs) <= WINDOW_MS;

function requireNow(time: string, requestMs: Millis, nowMs: Millis): void {
  if (isNow(requestMs, nowMs)) return;
  const now = compactTime(nowMs);
  if (requestMs < nowMs - WINDOW_MS) {
    const bound = compactTime(nowMs - WINDOW_MS);
    throw refused(
      'InvalidSignatureException',
      `Signature expired: ${time} is now earlier than ${bound} (${now} - 15 min.)`,
    );
  }
  const bound = compactTime(nowMs + WINDOW_MS);
  throw refused(
    'InvalidSignatureException',
    `Signature not yet current: ${time} is still later than ${bound} (${now} + 15 min.)`,
  );
}

/** Without them a signature would be good for another server or another operation. */
function requireHeaders(signed: readonly string[], values: ReadonlyMap<string, string>): void {
  if (!signed.includes('host')) {
    throw refused('InvalidSignatureException', "'Host' must be a 'SignedHeader' in the AWS Authorization.");
  }
  if (!signed.includes('x-amz-target')) {
    throw refused('InvalidSignatureException', "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  }
  if (signed.length > MAX_SIGNED_HEADERS || !areThere(signed, values)) {
    throw refused('InvalidSignatureException', WRONG_SIGNATURE);
  }
}

const areThere = (signed: readonly string[], values: ReadonlyMap<string, string>): boolean =>
  signed.every((name) => values.has(name));

function scopeOf(
  text: string,
  time: string,
): { readonly accessKeyId: string; readonly region: string; readonly day: string } {
  const parts = text.replace(/\/+$/, '').split('/');
  if (parts.length !== 5) {
    throw refused(
      'IncompleteSignatureException',
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${text}'`,
    );
  }
  const [accessKeyId, day, region, service, term] = parts as [string, string, string, string, string];
  const wrong: string[] = [];
  if (!REGION.test(region)) wrong.push(`Credential should be scoped to a valid region, not '${region}'. `);
  if (service !== SERVICE) wrong.push(`Credential should be scoped to correct service: '${SERVICE}'. `);
  if (term !== TERMINATOR) {
    wrong.push(`Credential should be scoped with a valid terminator: '${TERMINATOR}', not '${term}'. `);
  }
  const expected = time.slice(0, 8);
  if (day !== expected) {
    wrong.push(
      'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ' +
        `'${day}' != '${expected}', from ` +
        `'${time}'.`,
    );
  }
  if (wrong.length > 0) throw refused('InvalidSignatureException', wrong.join(''));
  return { accessKeyId, region, day };
}

const sha256 = (text: string | Buffer): string => hash('sha256', text, 'hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Percent-encoding as signatures have it: all but letters, digits and `-._~`. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** Decoded where that is possible: `%2` stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const inOrder = (one: string, other: string): number => (one < other ? -1 : Number(one > other));

function canonicalQuery(query: string): string {
  if (query === '') return '';
  const pairs = query.split('&').map((pair): [string, string] => {
    const equals = pair.indexOf('=');
    const [name, value] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    return [encoded(decoded(name)), encoded(decoded(value))];
  });
  // By names first: `a=` stands before `a1=`, though the sign does not stand before the digit.
  pairs.sort((one, other) => inOrder(one[0], other[0]) || inOrder(one[1], other[1]));
  return pairs.map(([name, value]) => `${name}=${value}`).join('&');
}

/** All that an Authorization header says but the signature, of one that was complete and right in form. */
interface KnownHeader {
  readonly accessKeyId: string;
  readonly region: string;
  readonly day: string;
  readonly scope: string;
  readonly signedHeaders: readonly string[];
  readonly signedNames: string;
}

/** Checks signatures, and remembers what does not change from request to request. */
export class SignatureVerifier {
  /** With the credential that each comes from: one that was replaced has another secret. */
  private readonly derived = new Map<string, { readonly credential: Credential; readonly key: SigningKey }>();
  /** By the text before the signature. */
  private readonly known = new Map<string, KnownHeader>();
  /** The time that was read last: requests of one second have the same. */
  private lastTime: { readonly text: string; readonly atMs: Millis } | undefined;

  /**
   * Like `readSignatureTerms`, and quicker for a header that differs from an earlier one by its signature alone.
   * @throws DynamoError
   */
  terms(
    request: SignedRequest,
    values: ReadonlyMap<string, string>,
    credentials: CredentialSource,
    nowMs: Millis,
  ): SignatureTerms {
    const header = values.get('authorization') ?? '';
    const split = header.lastIndexOf(SIGNATURE_PARAMETER);
    const before = header.slice(0, Math.max(0, split));
    const known = this.known.get(before);
    const signature = header.slice(split + SIGNATURE_PARAMETER.length);
    if (known !== undefined && request.url === '/' && SIGNATURE.test(signature)) {
      const time = values.get('x-amz-date');
      const credential = credentials.find(known.accessKeyId);
      const isRight =
        credential !== undefined &&
        time?.startsWith(known.day) === true &&
        isNow(this.timeOf(time), nowMs) &&
        areThere(known.signedHeaders, values);
      if (isRight) {
        const { region, day, scope, signedHeaders, signedNames } = known;
        return { credential, region, day, time, scope, signedHeaders, signedNames, signature };
      }
    }
    const terms = readSignatureTerms(request, values, credentials, nowMs);
    // Parameters may come in any order: the signature has to be the last.
    const isLast = terms.signature === signature && SIGNATURE.test(signature);
    if (known === undefined && isLast && before.length <= MAX_KNOWN_CHARACTERS) this.keep(before, terms);
    return terms;
  }

  private keep(before: string, terms: SignatureTerms): void {
    const { credential, region, day, scope, signedHeaders, signedNames } = terms;
    if (this.known.size >= MAX_KNOWN_HEADERS) this.known.delete(this.known.keys().next().value!);
    const { accessKeyId } = credential;
    this.known.set(before, { accessKeyId, region, day, scope, signedHeaders, signedNames });
  }

  /** NaN for what is no time. */
  private timeOf(text: string): Millis {
    if (this.lastTime?.text !== text) this.lastTime = { text, atMs: parseCompactTime(text) ?? Number.NaN };
    return this.lastTime.atMs;
  }

  /**
   * Checks the signature of a request whose terms have been read.
   * @param body as it was sent, before it is decompressed
   * @throws DynamoError when it does not fit
   */
  verify(
    { method, url }: SignedRequest,
    values: ReadonlyMap<string, string>,
    terms: SignatureTerms,
    body: Buffer,
  ): void {
    const { time, scope, signedHeaders, signedNames, signature } = terms;
    const question = url.indexOf('?');
    const path = question < 0 ? url : url.slice(0, question);
    const query = question < 0 ? '' : url.slice(question + 1);
    let headers = '';
    for (const name of signedHeaders) headers += `${name}:${values.get(name)}\n`;
    const canonical = `${method}\n${path}\n${canonicalQuery(query)}\n${headers}\n${signedNames}\n${sha256(body)}`;
    const expected = this.keyOf(terms).sign(`${ALGORITHM}\n${time}\n${scope}\n${sha256(canonical)}`);
    const isRight = SIGNATURE.test(signature) && timingSafeEqual(Buffer.from(signature, 'hex'), expected);
    if (!isRight) throw refused('InvalidSignatureException', WRONG_SIGNATURE);
  }

  private keyOf({ credential, region, day }: SignatureTerms): SigningKey {
    const name = `${credential.accessKeyId}/${day}/${region}`;
    const known = this.derived.get(name);
    if (known?.credential === credential) return known.key;
    const ofDay = hmac(`AWS4${credential.secretAccessKey}`, day);
    const key = new SigningKey(hmac(hmac(hmac(ofDay, region), SERVICE), TERMINATOR));
    // A key is derived before anybody knows whether the signature is right: the oldest goes, whoever asked for it.
    if (known === undefined && this.derived.size >= MAX_DERIVED_KEYS) {
      this.derived.delete(this.derived.keys().next().value!);
    }
    this.derived.set(name, { credential, key });
    return key;
  }
}
