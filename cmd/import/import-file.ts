/** An import of a file, from its first byte to its report. */
import { createReadStream } from 'node:fs';
import { RdbFormatError } from '../../src/adapter/redis/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { formatCount } from '../cli/table.ts';
import { Checkpoint, type FileIdentity, identityOf } from './checkpoint.ts';
import type { Differences } from './differences.ts';
import { type Existing, FileLoader } from './load-file.ts';
import { Progress, type ProgressOutput, readingLine } from './progress.ts';
import { Tally } from './tally.ts';
import { requireEmpty } from './target.ts';
import { FileVerifier } from './verify-file.ts';
import { GaveUpError, Writer, type WriterOptions } from './writer.ts';

const CHUNK_BYTES = 256 * 1024;

export interface FileImport {
  readonly file: string;
  /** Where progress is kept; undefined: beside the file. */
  readonly state: string | undefined;
  readonly writer: WriterOptions;
  readonly existing: Existing;
  readonly verify: 'no' | 'after' | 'only';
  readonly output: ProgressOutput;
  readonly interrupted: AbortSignal;
}

export interface ImportReport {
  readonly tally: Tally;
  readonly seconds: number;
  /** Undefined when nothing was compared. */
  readonly differences: Differences | undefined;
}

/**
 * Brings a file into a cluster, and compares if that is wanted.
 * @throws CommandFailure for what the user can do something about
 */
export async function importFile(request: FileImport): Promise<ImportReport> {
  const identity = await identityOf(request.file).catch((error: Error) => {
    throw new CommandFailure(`cannot read ${request.file}: ${error.message}`);
  });
  const tally = new Tally();
  const startMs = performance.now();
  try {
    if (request.verify !== 'only') await load(request, identity, tally, startMs);
    const seconds = (performance.now() - startMs) / 1000;
    const differences = request.verify === 'no' ? undefined : await verify(request, identity);
    return { tally, seconds, differences };
  } catch (error) {
    if (error instanceof RdbFormatError) throw new CommandFailure(`${request.file}: ${error.message}`);
    throw error;
  }
}

async function load(request: FileImport, identity: FileIdentity, tally: Tally, startMs: number): Promise<void> {
  const { file, existing, output } = request;
  const statePath = request.state ?? `${file}.import`;
  const checkpoint = await Checkpoint.open(statePath, identity);
  const skipBytes = checkpoint.reached;
  if (skipBytes > 0)
    output.write(`going on where the last import of this file ended, at byte ${formatCount(skipBytes)}\n`);
  else if (existing === 'refuse') await requireEmpty(request.writer);
  const writer = new Writer(request.writer);
  const loader = new FileLoader(writer, tally, {
    existing,
    skipBytes,
    nowMs: Date.now,
    onPosition: (position) => checkpoint.advance(position),
  });
  const progress = new Progress(output, () => readingLine(checkpoint.reached, identity.size, tally.written, startMs));
  try {
    await loader.load(createReadStream(file, { highWaterMark: CHUNK_BYTES, signal: request.interrupted }));
    await checkpoint.remove();
  } catch (error) {
    await checkpoint.save();
    const again = `run the same command again to go on (${statePath} says where)`;
    if (error instanceof GaveUpError) throw new CommandFailure(`the cluster takes no keys: ${error.message}; ${again}`);
    if (request.interrupted.aborted) throw new CommandFailure(`interrupted; ${again}`);
    throw error;
  } finally {
    progress.end();
    loader.close();
    writer.close();
  }
}

async function verify(request: FileImport, identity: FileIdentity): Promise<Differences> {
  const verifier = new FileVerifier(request.writer, Date.now);
  let bytes = 0;
  const startMs = performance.now();
  const progress = new Progress(
    request.output,
    () => `comparing ${readingLine(bytes, identity.size, verifier.differences.compared, startMs)}`,
  );
  try {
    return await verifier.verify(
      (async function* counted() {
        for await (const chunk of createReadStream(request.file, {
          highWaterMark: CHUNK_BYTES,
          signal: request.interrupted,
        })) {
          yield chunk as Buffer;
          bytes += (chunk as Buffer).length;
        }
      })(),
    );
  } finally {
    progress.end();
    verifier.close();
  }
}
