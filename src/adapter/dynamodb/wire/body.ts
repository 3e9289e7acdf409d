/** Bodies on their way in: read up to a limit, whatever the client says about their length, and decompressed up to the same limit. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { serializationError } from '../errors/index.ts';

/** A request may be as long as this, compressed and not. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Why a body was not read to its end. */
export type Unread = 'too-large' | 'no-room' | 'gone';

/** Who is asked about the memory of what arrives. */
export interface BodyRoom {
  readonly isUsedUp: boolean;
  /** Bytes have arrived. */
  hold(bytes: number): void;
}

/** Reads a body. What cannot be taken is left unread: the stream is paused then, and its owner decides what becomes of the rest. */
export async function readBody(request: IncomingMessage, room: BodyRoom): Promise<Buffer | Unread> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return 'too-large';
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (outcome: Buffer | Unread): void => {
      request.off('data', onData);
      request.off('end', onEnd);
      request.off('close', onClose);
      if (typeof outcome === 'string') request.pause();
      resolve(outcome);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      room.hold(chunk.length);
      if (bytes > MAX_BODY_BYTES) end('too-large');
      else if (room.isUsedUp) end('no-room');
      else chunks.push(chunk);
    };
    const onEnd = (): void => end(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes));
    const onClose = (): void => end('gone');
    request.on('data', onData);
    request.on('end', onEnd);
    request.on('close', onClose);
  });
}

const DECODERS = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const;

/**
 * @param encoding of the Content-Encoding header
 * @returns undefined when there is more in it than a body may have
 * @throws DynamoError when it is damaged, or compressed in another way
 */
export async function decompressed(body: Buffer, encoding: string | undefined): Promise<Buffer | undefined> {
  const name = (encoding ?? '').trim().toLowerCase();
  if (name === '' || name === 'identity' || body.length === 0) return body;
  if (name !== 'gzip' && name !== 'deflate') throw serializationError('Unsupported Content-Encoding');
  try {
    return await DECODERS[name](body, { maxOutputLength: MAX_BODY_BYTES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw serializationError('The body cannot be decompressed');
  }
}
