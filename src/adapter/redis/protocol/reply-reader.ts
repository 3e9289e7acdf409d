/** Takes an encoded array reply apart into its elements, without decoding them. */
import { assert } from '../../../platform/index.ts';
import { EncodedReply, ErrorReply, NilArrayReply, type Reply } from './reply.ts';

/**
 * The elements of an array reply that was made here or comes encoded from the leader.
 * @returns undefined for a null
 */
export function splitArrayReply(reply: Reply): readonly Reply[] | undefined {
  if (Array.isArray(reply)) return reply;
  if (reply === null || reply instanceof NilArrayReply) return undefined;
  assert(reply instanceof EncodedReply, 'an array reply is an array or encoded');
  const { bytes } = reply;
  const { count, end } = readHeader(bytes, 0);
  if (count < 0) return undefined;
  const elements: Reply[] = [];
  let position = end;
  for (let index = 0; index < count; index++) {
    const next = skipReply(bytes, position);
    elements.push(new EncodedReply(bytes.subarray(position, next)));
    position = next;
  }
  return elements;
}

/** Bytes of an error begin with it. */
const ERROR_MARK = 0x2d;

/** The text of an error that was made here or comes encoded from the leader, without the `-`; undefined for other replies. */
export function errorTextIn(reply: Reply): string | undefined {
  if (reply instanceof ErrorReply) return reply.text;
  if (reply instanceof EncodedReply && reply.bytes[0] === ERROR_MARK) return reply.bytes.toString('utf8', 1).trimEnd();
  return undefined;
}

/** The bytes of a bulk string that was made here or comes encoded from the leader; undefined for a null. */
export function bulkIn(reply: Reply): Buffer | undefined {
  if (Buffer.isBuffer(reply)) return reply;
  if (!(reply instanceof EncodedReply)) return undefined;
  const { count, end } = readHeader(reply.bytes, 0);
  return count < 0 ? undefined : reply.bytes.subarray(end, end + count);
}

/** The number that a reply is. */
export function integerIn(reply: Reply): number {
  if (typeof reply === 'number') return reply;
  assert(reply instanceof EncodedReply, 'the reply is a number or encoded');
  return readHeader(reply.bytes, 0).count;
}

/** The number behind a marker, and where the line ends; a null without a number counts as -1. */
function readHeader(bytes: Buffer, position: number): { readonly count: number; readonly end: number } {
  const lineEnd = bytes.indexOf('\r\n', position);
  const text = bytes.toString('latin1', position + 1, lineEnd);
  return { count: text === '' ? -1 : Number(text), end: lineEnd + 2 };
}

/** Where the reply that starts at `position` ends. */
function skipReply(bytes: Buffer, position: number): number {
  const marker = String.fromCharCode(bytes[position]!);
  const lineEnd = bytes.indexOf('\r\n', position) + 2;
  const isString = marker === '$' || marker === '=';
  const isAggregate = marker === '*' || marker === '%' || marker === '~' || marker === '>';
  if (!isString && !isAggregate) return lineEnd;
  const { count, end } = readHeader(bytes, position);
  if (count < 0) return end;
  if (isString) return end + count + 2;
  let next = end;
  for (let index = 0; index < (marker === '%' ? count * 2 : count); index++) next = skipReply(bytes, next);
  return next;
}
