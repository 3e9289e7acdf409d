/** Replies as values. */
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

/** The value of a reply that is all there; bytes are copied. What RESP3 has more becomes what RESP2 would have had. */
export function decodeReply(reply: Buffer): ReplyValue {
  return decodeAt(Buffer.from(reply), { at: 0 });
}

/** Characters in front of the text of a verbatim string. */
const FORMAT_LENGTH = 4;

function decodeAt(bytes: Buffer, cursor: { at: number }): ReplyValue {
  const start = cursor.at;
  const lineEnd = bytes.indexOf('\r\n', start);
  const head = bytes.toString('latin1', start + 1, lineEnd);
  cursor.at = lineEnd + 2;
  const body = (): Buffer => {
    const from = cursor.at;
    cursor.at += Number(head) + 2;
    return bytes.subarray(from, from + Number(head));
  };
  const elements = (count: number): ReplyValue[] => Array.from({ length: count }, () => decodeAt(bytes, cursor));
  const marker = String.fromCharCode(bytes[start]!);
  switch (marker) {
    case '+':
    case ',':
    case '(':
      return bytes.subarray(start + 1, lineEnd);
    case '-':
      return new ServerError(errorMessage(bytes.subarray(start)));
    case '!':
      return new ServerError(body().toString());
    case ':':
      return Number(head);
    case '#':
      return head === 't' ? 1 : 0;
    case '_':
      return null;
    case '$':
      return head === '-1' ? null : body();
    case '=':
      return body().subarray(FORMAT_LENGTH);
    case '*':
    case '~':
    case '>':
      return head === '-1' ? null : elements(Number(head));
    case '%':
      return elements(2 * Number(head));
    case '|':
      elements(2 * Number(head));
      return decodeAt(bytes, cursor);
    default:
      throw new Error(`the server answers ${JSON.stringify(marker + head)}`);
  }
}
