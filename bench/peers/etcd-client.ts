/**
 * The four etcd calls that the benchmark needs, straight on HTTP/2 with hand-made protobuf: about half the cost a call of a
 * general gRPC client, so that the processors are left to etcd.
 */
import { type ClientHttp2Session, connect, constants } from 'node:http2';

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Protobuf: one bytes field with a tag below 16 and any length. */
function bytesField(tag: number, bytes: Buffer): Buffer {
  const head = [(tag << 3) | LENGTH_DELIMITED];
  let rest = bytes.length;
  while (rest >= 0x80) {
    head.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  head.push(rest);
  return Buffer.concat([Buffer.from(head), bytes]);
}

function readVarint(bytes: Buffer, at: number): { value: bigint; next: number } {
  let value = 0n;
  let shift = 0n;
  let next = at;
  for (;;) {
    const byte = bytes[next++];
    if (byte === undefined) throw new Error('etcd answered with a broken message');
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return { value, next };
    shift += 7n;
  }
}

/** Top-level varint and bytes fields of a protobuf message, by tag. */
function fieldsOf(bytes: Buffer): Map<number, bigint | Buffer> {
  const fields = new Map<number, bigint | Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const key = readVarint(bytes, at);
    const length = readVarint(bytes, key.next);
    const tag = Number(key.value >> 3n);
    if (Number(key.value & 7n) === VARINT) {
      fields.set(tag, length.value);
      at = length.next;
    } else {
      at = length.next + Number(length.value);
      fields.set(tag, bytes.subarray(length.next, at));
    }
  }
  return fields;
}

/** A gRPC message is a zero byte (not compressed), its length, its bytes. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const CALL_TIMEOUT_MS = 5000;

/** One connection to one member. Calls may overlap. */
export class EtcdClient {
  private readonly session: ClientHttp2Session;
  private readonly authority: string;

  constructor(port: number) {
    this.authority = `127.0.0.1:${port}`;
    this.session = connect(`http://${this.authority}`);
    // Every call that is under way reports the failure by itself.
    this.session.on('error', () => {});
  }

  /** @throws when etcd refused or the connection broke */
  async put(key: Buffer, value: Buffer): Promise<void> {
    await this.call('/etcdserverpb.KV/Put', Buffer.concat([bytesField(1, key), bytesField(2, value)]));
  }

  /** Writes keys in one transaction. @throws like `put` */
  async putAll(keys: readonly Buffer[], value: Buffer): Promise<void> {
    // TxnRequest.success is a list of RequestOp, whose second field is a PutRequest.
    const puts = keys.map((key) =>
      bytesField(2, bytesField(2, Buffer.concat([bytesField(1, key), bytesField(2, value)]))),
    );
    await this.call('/etcdserverpb.KV/Txn', Buffer.concat(puts));
  }

  /** Reads one key, linearizably (etcd's default). */
  async get(key: Buffer): Promise<void> {
    await this.call('/etcdserverpb.KV/Range', bytesField(1, key));
  }

  /** @returns true when this member is the leader, undefined when there is none */
  async leads(): Promise<boolean | undefined> {
    const status = fieldsOf(await this.call('/etcdserverpb.Maintenance/Status', Buffer.alloc(0)));
    const header = fieldsOf(status.get(1) as Buffer);
    const leader = (status.get(4) as bigint | undefined) ?? 0n;
    return leader === 0n ? undefined : leader === header.get(2);
  }

  close(): void {
    this.session.destroy();
  }

  private call(path: string, message: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_SCHEME]: 'http',
        [constants.HTTP2_HEADER_AUTHORITY]: this.authority,
        [constants.HTTP2_HEADER_PATH]: path,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      let status: string | undefined;
      let statusMessage = '';
      const readStatus = (headers: Record<string, unknown>): void => {
        if (typeof headers['grpc-status'] === 'string') status = headers['grpc-status'];
        if (typeof headers['grpc-message'] === 'string') statusMessage = headers['grpc-message'];
      };
      stream.setTimeout(CALL_TIMEOUT_MS, () => stream.close(constants.NGHTTP2_CANCEL));
      stream.on('response', readStatus);
      stream.on('trailers', readStatus);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('close', () => {
        if (status !== '0') reject(new Error(`etcd: ${path} failed with status ${status} ${statusMessage}`));
        else resolve((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).subarray(5));
      });
      stream.end(frame(message));
    });
  }
}
