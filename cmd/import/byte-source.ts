/** Bytes of a socket, taken as they are needed; what nobody takes stays with the sender. */
import type { Socket } from 'node:net';

const LF = 0x0a;
const MAX_LINE_BYTES = 64 * 1024;

/** The other side closed the connection, or it broke. */
export class SourceEndedError extends Error {
  override readonly name = 'SourceEndedError';
}

export class ByteSource {
  private readonly chunks: AsyncIterator<Buffer>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** A line without its end. @throws SourceEndedError */
  async line(): Promise<string> {
    let end = this.rest.indexOf(LF);
    while (end < 0) {
      if (this.rest.length > MAX_LINE_BYTES) throw new SourceEndedError('the server sends no lines: is it a Redis?');
      this.rest = Buffer.concat([this.rest, await this.next()]);
      end = this.rest.indexOf(LF);
    }
    const text = this.rest.toString('utf8', 0, end).replace(/\r$/, '');
    this.rest = this.rest.subarray(end + 1);
    return text;
  }

  /** Some bytes, at most so many. @throws SourceEndedError */
  async some(limit: number): Promise<Buffer> {
    if (this.rest.length === 0) this.rest = await this.next();
    const bytes = this.rest.subarray(0, limit);
    this.rest = this.rest.subarray(bytes.length);
    return bytes;
  }

  private async next(): Promise<Buffer> {
    let result: IteratorResult<Buffer>;
    try {
      result = await this.chunks.next();
    } catch (error) {
      throw new SourceEndedError((error as Error).message);
    }
    if (result.done === true) throw new SourceEndedError('the server closed the connection');
    return result.value;
  }
}
