/** Requests of DynamoDB as bytes, signed as the SDKs sign them: made before a load begins, so that making them is not measured. */
import { createHash, createHmac } from 'node:crypto';

/** What the loads sign with. */
export const KEY = { accessKeyId: 'bench', secretAccessKey: 'the secret of the benchmark' };

const REGION = 'eu-west-1';
const CONTENT_TYPE = 'application/x-amz-json-1.0';
const SIGNED_HEADERS = 'content-type;host;x-amz-date;x-amz-target';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Signs requests to one port, all of them at one moment; they are good for a quarter of an hour. */
export class RequestSigner {
  private readonly host: string;
  private readonly time: string;
  private readonly scope: string;
  private readonly key: Buffer;

  /** @param atMs milliseconds since 1970 */
  constructor(port: number, atMs: number) {
    this.host = `127.0.0.1:${port}`;
    this.time = new Date(atMs).toISOString().replace(/[-:]|\.\d+/g, '');
    const day = this.time.slice(0, 8);
    this.scope = `${day}/${REGION}/dynamodb/aws4_request`;
    const ofRegion = hmac(hmac(`AWS4${KEY.secretAccessKey}`, day), REGION);
    this.key = hmac(hmac(ofRegion, 'dynamodb'), 'aws4_request');
  }

  /** The bytes of a whole request. */
  request(operation: string, input: object): Buffer {
    const body = JSON.stringify(input);
    const target = `DynamoDB_20120810.${operation}`;
    const headers = `content-type:${CONTENT_TYPE}\nhost:${this.host}\nx-amz-date:${this.time}\nx-amz-target:${target}\n`;
    const canonical = `POST\n/\n\n${headers}\n${SIGNED_HEADERS}\n${sha256(body)}`;
    const text = `AWS4-HMAC-SHA256\n${this.time}\n${this.scope}\n${sha256(canonical)}`;
    const signature = hmac(this.key, text).toString('hex');
    const authorization = `AWS4-HMAC-SHA256 Credential=${KEY.accessKeyId}/${this.scope}, SignedHeaders=${SIGNED_HEADERS}, Signature=${signature}`;
    return Buffer.from(
      `POST / HTTP/1.1\r\nHost: ${this.host}\r\nContent-Type: ${CONTENT_TYPE}\r\nX-Amz-Target: ${target}\r\n` +
        `X-Amz-Date: ${this.time}\r\nAuthorization: ${authorization}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}
