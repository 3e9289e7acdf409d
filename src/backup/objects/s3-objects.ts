/**
 * Objects in a bucket of S3, or of a service that speaks like it. Credentials come from where the AWS tools look for them: environment,
 * files of profiles, roles of machines and containers. A call is tried several times, within a time; what is large goes up in parts.
 */
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { assert, type Millis, type Scheduler } from '../../platform/index.ts';
import {
  type ObjectEntry,
  ObjectMissingError,
  type ObjectStore,
  ObjectStoreFullError,
  ObjectStoreRefusedError,
  ObjectStoreUnavailableError,
  type PutOptions,
} from './object-store.ts';

type Sdk = typeof import('@aws-sdk/client-s3');

/** Where a bucket is. */
export interface S3Location {
  readonly bucket: string;
  /** In front of all names, with its slash; empty for none. */
  readonly prefix: string;
  /** Of another service than Amazon's; undefined: by the region. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  /** The bucket stands in the path and not in the host's name. */
  readonly isPathStyle: boolean;
}

/** Bounds of calls. */
export interface S3Limits {
  readonly attempts: number;
  readonly connectMs: Millis;
  /** Without a byte in either direction. */
  readonly idleMs: Millis;
  /** Of a call with all its attempts. */
  readonly callMs: Millis;
  /** At least 5 MiB by the protocol. A large object that goes up holds two of them in memory. */
  readonly partBytes: number;
}

export const DEFAULT_S3_LIMITS: S3Limits = {
  attempts: 5,
  connectMs: 5_000,
  idleMs: 30_000,
  callMs: 180_000,
  partBytes: 5 << 20,
};

/** Connections of one client; more calls wait. */
const MAX_SOCKETS = 32;
/** Two who write one name at once may both be told to try again. */
const CONFLICT_ATTEMPTS = 5;

/** Services say in words of their own that there is no room. */
const FULL =
  /^(?:QuotaExceeded|XMinioStorageFull|XMinioAdminBucketQuotaExceeded|InsufficientStorage|StorageFull|OutOfSpace)/;
/** No credentials, no such place, or a service that does not know what it is asked. */
const REFUSED = /^(?:CredentialsProviderError|NoSuchBucket|NotImplemented|PermanentRedirect)/;
/** Refusals that pass, or that callers look at. */
const PASSING: ReadonlySet<number> = new Set([404, 408, 409, 412, 416, 425, 429]);

/** What an error of the SDK says of itself. */
interface S3Failure {
  readonly name: string;
  readonly message: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const statusOf = (error: unknown): number => (error as S3Failure | undefined)?.$metadata?.httpStatusCode ?? 0;
const nameOf = (error: unknown): string => (error as S3Failure).name;

/** See the top of the file. */
export class S3Objects implements ObjectStore {
  readonly place: string;
  private readonly sdk: Sdk;
  private readonly client: S3Client;
  private readonly location: S3Location;
  private readonly limits: S3Limits;
  private readonly scheduler: Scheduler;

  private constructor(sdk: Sdk, location: S3Location, scheduler: Scheduler, limits: S3Limits) {
    this.sdk = sdk;
    this.location = location;
    this.scheduler = scheduler;
    this.limits = limits;
    this.place = `s3://${location.bucket}/${location.prefix}`;
    this.client = new sdk.S3Client({
      // A service of one's own mostly has none, and signatures need one.
      ...(location.region === undefined && location.endpoint === undefined
        ? {}
        : { region: location.region ?? 'us-east-1' }),
      ...(location.endpoint === undefined ? {} : { endpoint: location.endpoint }),
      forcePathStyle: location.isPathStyle,
      maxAttempts: limits.attempts,
      requestHandler: {
        connectionTimeout: limits.connectMs,
        socketTimeout: limits.idleMs,
        httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
        httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
      },
    });
  }

  /** Asks nobody anything yet. */
  static async open(location: S3Location, scheduler: Scheduler, limits: Partial<S3Limits> = {}): Promise<S3Objects> {
    // Only who has backups in a bucket pays for loading it.
    const sdk = await import('@aws-sdk/client-s3');
    return new S3Objects(sdk, location, scheduler, { ...DEFAULT_S3_LIMITS, ...limits });
  }

  async put(name: string, content: Buffer, { ifAbsent = false, signal }: PutOptions = {}): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.call(name, signal, (abortSignal) =>
          this.client.send(
            new this.sdk.PutObjectCommand({
              ...this.target(name),
              Body: content,
              ContentLength: content.length,
              ...(ifAbsent ? { IfNoneMatch: '*' } : {}),
            }),
            { abortSignal },
          ),
        );
        return true;
      } catch (error) {
        const { cause } = error as Error;
        if (ifAbsent && statusOf(cause) === 412) return false;
        if (!ifAbsent || statusOf(cause) !== 409 || attempt === CONFLICT_ATTEMPTS) throw error;
      }
    }
  }

  async putLarge(name: string, pieces: AsyncIterable<Buffer>, signal?: AbortSignal): Promise<number> {
    const parts = inParts(pieces, this.limits.partBytes);
    try {
      const first = await parts.next();
      const second = first.done ? first : await parts.next();
      if (second.done) {
        const content = first.value ?? Buffer.alloc(0);
        await this.put(name, content, { signal });
        return content.length;
      }
      return await this.putParts(name, [first.value!, second.value], parts, signal);
    } finally {
      // Where they come from may have a file open.
      await parts.return(undefined);
    }
  }

  private async putParts(
    name: string,
    heads: readonly Buffer[],
    rest: AsyncIterable<Buffer>,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { sdk, client } = this;
    const target = this.target(name);
    const { UploadId } = await this.call(name, signal, (abortSignal) =>
      client.send(new sdk.CreateMultipartUploadCommand(target), { abortSignal }),
    );
    try {
      const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
      let bytes = 0;
      const send = async (part: Buffer): Promise<void> => {
        const PartNumber = Parts.length + 1;
        const { ETag } = await this.call(name, signal, (abortSignal) =>
          client.send(
            new sdk.UploadPartCommand({ ...target, UploadId, PartNumber, Body: part, ContentLength: part.length }),
            { abortSignal },
          ),
        );
        Parts.push({ PartNumber, ETag });
        bytes += part.length;
      };
      for (const part of heads) await send(part);
      for await (const part of rest) await send(part);
      await this.call(name, signal, (abortSignal) =>
        client.send(new sdk.CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }), {
          abortSignal,
        }),
      );
      return bytes;
    } catch (error) {
      // What is left of an upload costs room that nobody sees.
      await this.call(name, undefined, (abortSignal) =>
        client.send(new sdk.AbortMultipartUploadCommand({ ...target, UploadId }), { abortSignal }),
      ).catch(() => undefined);
      throw error;
    }
  }

  async get(name: string, start: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    const Range = `bytes=${start}-${start + length - 1}`;
    for (let attempt = 1; ; attempt++) {
      let isAnswered = false;
      try {
        return await this.call(name, signal, async (abortSignal) => {
          const command = new this.sdk.GetObjectCommand({ ...this.target(name), Range });
          const output = await this.client.send(command, { abortSignal });
          isAnswered = true;
          return this.contentOf(name, output, start, length);
        });
      } catch (error) {
        if (statusOf((error as Error).cause) === 416) return Buffer.alloc(0);
        // The SDK tries again until there is an answer; what breaks in the middle of its body is left to the caller.
        if (!isAnswered || attempt === this.limits.attempts || !(error instanceof ObjectStoreUnavailableError))
          throw error;
      }
    }
  }

  /** @throws ObjectStoreUnavailableError when fewer bytes came than were announced */
  private async contentOf(
    name: string,
    { Body, ContentLength, ContentRange }: GetObjectCommandOutput,
    start: number,
    length: number,
  ): Promise<Buffer> {
    const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
    if (ContentLength !== undefined && bytes.length !== ContentLength) {
      throw new ObjectStoreUnavailableError(`${this.place} sent ${bytes.length} of ${ContentLength} bytes of ${name}`);
    }
    // A service that knows no ranges sends everything.
    return ContentRange === undefined ? bytes.subarray(start, start + length) : bytes;
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    const { bucket, prefix: before } = this.location;
    let token: string | undefined;
    do {
      const ContinuationToken = token;
      const page = await this.call(prefix, undefined, (abortSignal) =>
        this.client.send(
          new this.sdk.ListObjectsV2Command({ Bucket: bucket, Prefix: `${before}${prefix}`, ContinuationToken }),
          { abortSignal },
        ),
      );
      for (const { Key = '', Size = 0 } of page.Contents ?? []) {
        yield { name: Key.slice(before.length), bytes: Size };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      assert(token === undefined || token !== ContinuationToken, 'a list goes on');
    } while (token !== undefined);
  }

  async remove(name: string): Promise<void> {
    try {
      await this.call(name, undefined, (abortSignal) =>
        this.client.send(new this.sdk.DeleteObjectCommand(this.target(name)), { abortSignal }),
      );
    } catch (error) {
      if (!(error instanceof ObjectMissingError)) throw error;
    }
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  private target(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.location.bucket, Key: `${this.location.prefix}${name}` };
  }

  /** @throws what the caller aborted with; the errors of the seam, with the SDK's as their cause */
  private async call<Result>(
    name: string,
    signal: AbortSignal | undefined,
    send: (abortSignal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    signal?.throwIfAborted();
    const abort = new AbortController();
    const onAbort = (): void => abort.abort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const cancel = this.scheduler.after(this.limits.callMs, onAbort);
    try {
      return await send(abort.signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw this.explained(name, error, abort.signal.aborted);
    } finally {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  private explained(name: string, error: unknown, isLate: boolean): Error {
    if (error instanceof ObjectStoreUnavailableError) return error;
    const said = `${nameOf(error)}: ${(error as Error).message}`;
    const cause = { cause: error };
    const status = statusOf(error);
    if (isLate) {
      return new ObjectStoreUnavailableError(
        `${this.place} took longer than ${this.limits.callMs} ms for ${name}`,
        cause,
      );
    }
    if (FULL.test(nameOf(error)) || status === 507) {
      return new ObjectStoreFullError(`${this.place} has no room for ${name} (${said})`, cause);
    }
    if (nameOf(error) === 'NoSuchKey' || (status === 404 && !REFUSED.test(nameOf(error)))) {
      return new ObjectMissingError(`there is no ${name} in ${this.place}`, cause);
    }
    if (REFUSED.test(nameOf(error)) || (status >= 400 && status < 500 && !PASSING.has(status))) {
      return new ObjectStoreRefusedError(`${this.place} cannot be used (${said})`, cause);
    }
    return new ObjectStoreUnavailableError(`${this.place} fails for ${name} (${said})`, cause);
  }
}

/** Pieces of any length as parts of one length, the last one shorter. */
async function* inParts(pieces: AsyncIterable<Buffer>, partBytes: number): AsyncGenerator<Buffer, undefined> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    for (let rest = piece; rest.length > 0; ) {
      const taken = rest.subarray(0, partBytes - bytes);
      held.push(taken);
      bytes += taken.length;
      rest = rest.subarray(taken.length);
      if (bytes < partBytes) continue;
      yield Buffer.concat(held);
      held = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(held);
  return undefined;
}
