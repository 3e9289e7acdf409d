/**
 * Bulk streams (snapshots): each takes a connection of its own for as long as it lasts, so that it shares no buffer with
 * the lanes, and never has more than a few frames on their way.
 */
import type grpc from '@grpc/grpc-js';
import { type NodeId, PeerRefusedError, type StreamHandler } from '../../platform/index.ts';
import { StreamBrokenError } from '../errors.ts';
import { openChannel, type PeerTls } from './channel.ts';
import { checkCallee, introduce, type OwnIdentity, type PeerIdentity, STREAM_PATH, setKind } from './peer-protocol.ts';

const MAX_IN_FLIGHT_BYTES = 4 * 1024 * 1024;
const END_MARK = Buffer.alloc(0);
const identity = (bytes: Buffer): Buffer => bytes;

export interface OutboundStream {
  readonly self: OwnIdentity;
  readonly to: NodeId;
  readonly address: string;
  /** Undefined: plain text. */
  readonly tls: PeerTls | undefined;
  readonly kind: string;
  readonly header: Buffer;
  readonly frames: AsyncIterable<Buffer>;
  readonly signal: AbortSignal | undefined;
  /** See `PeerAdmission.admit`. */
  readonly admit: (peer: PeerIdentity) => Promise<void> | undefined;
}

/**
 * Sends one stream.
 * @returns the receiver's answer
 * @throws StreamBrokenError when the connection broke, the receiver refused or the signal fired
 */
export async function sendStream(stream: OutboundStream): Promise<Buffer> {
  const client = openChannel(stream.address, stream.tls);
  const metadata = introduce(stream.self, stream.to);
  setKind(metadata, stream.kind);
  const answer = Promise.withResolvers<Buffer>();
  // Where nodes prove that they are of the cluster, nothing is sent to one that has not.
  const proven = Promise.withResolvers<void>();
  if (stream.self.secret === undefined) proven.resolve();
  const call = client.makeClientStreamRequest(
    STREAM_PATH,
    identity,
    identity,
    metadata,
    (error: grpc.ServiceError | null, bytes?: Buffer) => {
      if (error !== null || bytes === undefined) {
        const reason = error?.details ?? 'no answer';
        answer.reject(new StreamBrokenError(`the stream to node ${stream.to} broke: ${reason}`, { cause: error }));
      } else {
        answer.resolve(bytes);
      }
    },
  );
  call.on('metadata', (introduction: grpc.Metadata) => {
    const refuse = (error: unknown): void => {
      answer.reject(error as Error);
      call.cancel();
    };
    try {
      const admitted = stream.admit(checkCallee(introduction, stream.self));
      if (admitted === undefined) proven.resolve();
      else admitted.then(proven.resolve, refuse);
    } catch (error) {
      refuse(error);
    }
  });
  // The call's own error reaches the callback above.
  call.on('error', () => {});
  const onAbort = (): void => {
    answer.reject(
      new StreamBrokenError(`the stream to node ${stream.to} was given up`, { cause: stream.signal?.reason }),
    );
    call.cancel();
  };
  if (stream.signal?.aborted) onAbort();
  stream.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([proven.promise, answer.promise]);
    await pump(call, stream, answer.promise);
    return await answer.promise;
  } catch (error) {
    call.cancel();
    // Whatever broke the pump, the call's own error says more; nobody else waits for it.
    answer.promise.catch(() => {});
    throw error;
  } finally {
    stream.signal?.removeEventListener('abort', onAbort);
    client.close();
  }
}

/** Writes header, frames and end mark; stops early when the answer is there (the receiver refused or the call broke). */
async function pump(
  call: grpc.ClientWritableStream<Buffer>,
  stream: OutboundStream,
  answer: Promise<Buffer>,
): Promise<void> {
  let inFlightBytes = 0;
  let wake: (() => void) | undefined;
  let settled = false;
  const settle = (): void => {
    settled = true;
    wake?.();
  };
  answer.then(settle, settle);
  const write = async (frame: Buffer): Promise<void> => {
    inFlightBytes += frame.length;
    call.write(frame, () => {
      inFlightBytes -= frame.length;
      wake?.();
    });
    while (inFlightBytes > MAX_IN_FLIGHT_BYTES && !settled) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    wake = undefined;
  };
  await write(stream.header);
  for await (const frame of stream.frames) {
    if (settled) break;
    if (frame.length > 0) await write(frame);
  }
  if (settled) return;
  await write(END_MARK);
  call.end();
}

type InboundCall = grpc.ServerReadableStream<Buffer, Buffer>;

/** Serves one inbound stream whose introduction was accepted. */
export async function receiveStream(call: InboundCall, from: NodeId, handler: StreamHandler): Promise<Buffer> {
  const messages = call[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const first = await messages.next();
  if (first.done) throw new PeerRefusedError('a stream starts with a header');
  return handler(from, first.value, untilEndMark(messages));
}

async function* untilEndMark(messages: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  for (;;) {
    const message = await messages.next();
    if (message.done) throw new StreamBrokenError('the stream was cut before its end');
    if (message.value.length === 0) return;
    yield message.value;
  }
}
