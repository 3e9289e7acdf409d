/**
 * Bulk streams of a `Wire`, over its two-way streams. The receiver asks for each frame, so a sender never runs ahead; the
 * first byte of a message says what it is.
 */
import type { DuplexStream, NodeId, StreamHandler } from '../../src/platform/index.ts';

/** From the receiver. */
const Ask = { Next: 0, Answer: 1, Failure: 2 } as const;
/** From the sender. */
const Give = { Frame: 0, End: 1 } as const;

const message = (kind: number, bytes?: Buffer): Buffer =>
  Buffer.concat([Buffer.from([kind]), bytes ?? Buffer.alloc(0)]);

/** Sends frames as they are asked for. @returns the receiver's answer */
export function sendOverWire(
  stream: DuplexStream,
  frames: AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const source = frames[Symbol.asyncIterator]();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const giveUp = (error: Error): void => {
    stream.close();
    reject(error);
  };
  const next = async (): Promise<void> => {
    const { done, value } = await source.next();
    stream.send(done === true ? message(Give.End) : message(Give.Frame, value));
  };
  stream.onMessage((asked) => {
    if (asked[0] === Ask.Next) next().catch(giveUp);
    else if (asked[0] === Ask.Answer) resolve(asked.subarray(1));
    else reject(new Error(`the receiver failed: ${asked.subarray(1).toString()}`));
  });
  stream.onEnd((error) => reject(error ?? new Error('the stream was closed')));
  const abort = (): void => giveUp(new Error('the stream was given up', { cause: signal?.reason }));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  return promise.finally(() => source.return?.());
}

/** Runs the handler of a bulk stream over what comes. */
export function receiveOverWire(from: NodeId, header: Buffer, stream: DuplexStream, handler: StreamHandler): void {
  let asked: PromiseWithResolvers<IteratorResult<Buffer>> | undefined;
  let failure: Error | undefined;
  stream.onMessage((given) => {
    if (given[0] === Give.Frame) asked?.resolve({ done: false, value: given.subarray(1) });
    else asked?.resolve({ done: true, value: undefined });
  });
  stream.onEnd((error) => {
    failure = error ?? new Error('the sender gave the stream up');
    asked?.reject(failure);
  });
  const next = (): Promise<IteratorResult<Buffer>> => {
    if (failure !== undefined) return Promise.reject(failure);
    asked = Promise.withResolvers();
    stream.send(message(Ask.Next));
    return asked.promise;
  };
  handler(from, header, { [Symbol.asyncIterator]: () => ({ next }) }).then(
    (answer) => stream.send(message(Ask.Answer, answer)),
    (error: Error) => stream.send(message(Ask.Failure, Buffer.from(error.message))),
  );
}
