/** What a client calls a transaction by: the same token within ten minutes is the same transaction, and nothing is done twice. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { expiryOf, type KeyView } from '../../../kv/index.ts';
import { DynamoError } from '../errors/index.ts';
import { CorruptRowError, requestTokenKey } from '../rows/index.ts';

/** How long a client's token stands for what was asked with it. */
const TOKEN_MS = 10 * 60 * 1000;
const TOKEN_FORMAT = 1;

/** What a client calls a transaction by, and what it has asked with it. */
export interface RequestToken {
  readonly key: Buffer;
  /** Of the whole request. */
  readonly digest: Buffer;
}

/** The same request has the same digest, in whatever order its members come. */
function digestOf(value: unknown): Buffer {
  const sorted = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(sorted);
    if (typeof part !== 'object' || part === null) return part;
    return Object.keys(part)
      .sort()
      .map((name) => [name, sorted((part as Record<string, unknown>)[name])]);
  };
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest();
}

/** @param asked all that has to be the same when the token comes again */
export function requestToken(token: string, asked: unknown): RequestToken {
  const bytes = Buffer.from(token, 'utf8');
  return { key: requestTokenKey(crc32(bytes), bytes), digest: digestOf(asked) };
}

/** A token stands for another request. */
export const otherRequest = (): DynamoError =>
  new DynamoError(
    'IdempotentParameterMismatchException',
    'The request uses the same client token as a previous, but non-identical request.',
  );

/** Looks a token up and stores it, within the transaction that it stands for. @returns true when it has been done before @throws DynamoError */
export function isRepeated(view: KeyView, { key, digest }: RequestToken): boolean {
  const row = view.get(key);
  if (row !== undefined) {
    if (row.value[0] !== TOKEN_FORMAT) throw new CorruptRowError(`a token has format ${row.value[0]}`);
    if (row.value.subarray(1).equals(digest)) return true;
    throw otherRequest();
  }
  view.put(key, Buffer.concat([Buffer.of(TOKEN_FORMAT), digest]), expiryOf(view.ts, TOKEN_MS));
  return false;
}
