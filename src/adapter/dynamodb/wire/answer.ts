/** Answers on their way out: JSON with the headers that SDKs look at. */
import { promisify } from 'node:util';
import { crc32, deflate, gzip } from 'node:zlib';
import type { Random } from '../../../platform/index.ts';
import { type DynamoError, errorMembers, statusOf } from '../errors/index.ts';
import { EncodedOutput } from '../operation/index.ts';

/** What is sent. */
export interface Answer {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** Bodies below are sent as they are. */
const COMPRESS_FROM_BYTES = 4096;
/** The fastest: the node has better things to do. */
const LEVEL = 1;
const ENCODERS = { gzip: promisify(gzip), deflate: promisify(deflate) } as const;

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789');
const REQUEST_ID_LENGTH = 52;

/** Ids as the service has them: 52 capital letters and digits. */
export function requestId(random: Random): string {
  const id = random.bytes(REQUEST_ID_LENGTH);
  for (let at = 0; at < id.length; at++) id[at] = ALPHABET[id[at]! % ALPHABET.length]!;
  return id.toString('latin1');
}

/** @param output what an operation has made; members that are undefined are left out */
export const outputAnswer = (output: object, contentType: string): Answer =>
  answerOf(200, output instanceof EncodedOutput ? output.json : jsonOf(output), contentType);

/** The answer for an exception. */
export const errorAnswer = (error: DynamoError, contentType: string): Answer =>
  answerOf(statusOf(error.type), jsonOf(errorMembers(error)), contentType);

const jsonOf = (tree: object): Buffer => Buffer.from(JSON.stringify(tree));

const answerOf = (status: number, body: Buffer, contentType: string): Answer => ({
  status,
  headers: ['Content-Type', contentType],
  body,
});

/** What the client takes of what there is here; a quality of zero means that it does not. */
function encodingFor(accepted: string | undefined): keyof typeof ENCODERS | undefined {
  if (accepted === undefined) return undefined;
  const words = accepted.split(',').map((word) => word.trim().toLowerCase());
  return (['gzip', 'deflate'] as const).find((name) =>
    words.some((word) => word === name || (word.startsWith(`${name};`) && !/q=0(?:\.0*)?$/.test(word))),
  );
}

/** Whether `compressed` has anything to do. */
export const isLong = ({ body }: Answer): boolean => body.length >= COMPRESS_FROM_BYTES;

/** Compresses a long answer for a client that takes it. */
export async function compressed(answer: Answer, accepted: string | undefined): Promise<Answer> {
  const encoding = encodingFor(accepted);
  if (encoding === undefined) return answer;
  const body = await ENCODERS[encoding](answer.body, { level: LEVEL });
  return { ...answer, headers: [...answer.headers, 'Content-Encoding', encoding], body };
}

/** Over the body as it is sent, decimal. */
export const checksumOf = (body: Buffer): string => String(crc32(body));
