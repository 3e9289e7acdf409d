/** Replies of RESP2 as values. */
import { errorMessage } from './reply-splitter.ts';

/** A server refused a command. */
export class ServerError extends Error {
  override readonly name = 'ServerError';

  /** The first word of the message. */
  get code(): string {
    return this.message.split(' ', 1)[0]!;
  }
}

/** Simple strings and bulk strings are bytes, errors are values like others: a transaction has them among its replies. */
export type ReplyValue = Buffer | number | null | ServerError | readonly ReplyValue[];

/** The value of a reply that is all there; bytes are copied. */
export function decodeReply(reply: Buffer): ReplyValue {
  return decodeAt(Buffer.from(reply), { at: 0 });
}

function decodeAt(bytes: Buffer, cursor: { at: number }): ReplyValue {
  const start = cursor.at;
  const lineEnd = bytes.indexOf('\r\n', start);
  const head = bytes.toString('latin1', start + 1, lineEnd);
  cursor.at = lineEnd + 2;
  switch (String.fromCharCode(bytes[start]!)) {
    case '+':
      return bytes.subarray(start + 1, lineEnd);
    case '-':
      return new ServerError(errorMessage(bytes.subarray(start)));
    case ':':
      return Number(head);
    case '$': {
      const length = Number(head);
      if (length < 0) return null;
      const from = cursor.at;
      cursor.at += length + 2;
      return bytes.subarray(from, from + length);
    }
    case '*': {
      const length = Number(head);
      if (length < 0) return null;
      return Array.from({ length }, () => decodeAt(bytes, cursor));
    }
    default:
      throw new Error(`the server answers ${JSON.stringify(bytes.toString('latin1', start, lineEnd))}`);
  }
}
