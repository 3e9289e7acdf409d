/**
 * The folder that holds everything a node owns. It belongs to one process at a time and to one node of one cluster for
 * life. Both are kept by a tiny LevelDB database in it: its lock file is an fcntl lock, which the operating system gives
 * back when the process dies however it dies, and its only row is the node's identity.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { ClassicLevel } from 'classic-level';
import { type ErrorDisposition, KvorumError, type NodeId, nodeId, type Random } from '../platform/index.ts';

/** Another process has the folder open. */
export class DataFolderLockedError extends KvorumError {
  readonly code = 'DATA_FOLDER_LOCKED';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, cause: unknown) {
    super(
      `the data folder ${folder} is in use, probably by another kvorum process. ` +
        'Stop that process, or give this one another folder.',
      { cause },
    );
    this.folder = folder;
  }
}

/** The folder belongs to another node or cluster, or to a version of kvorum that this one cannot read. */
export class DataFolderMismatchError extends KvorumError {
  readonly code = 'DATA_FOLDER_MISMATCH';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, what: string) {
    super(`the data folder ${folder} ${what}. Start the node with the folder that is its own, or with an empty one.`);
    this.folder = folder;
  }
}

/** What says whose the folder is cannot be read, or is not what was written: nobody may guess. */
export class DataFolderCorruptError extends KvorumError {
  readonly code = 'DATA_FOLDER_CORRUPT';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, what: string, cause?: unknown) {
    super(
      `${join(folder, IDENTITY_FOLDER)} ${what}. Restore that folder from a copy, or move the data folder away and add the ` +
        'node again as a new one: it then gets its state from the other replicas.',
      { cause },
    );
    this.folder = folder;
  }
}

/** Who a data folder belongs to. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  /** 16 random bytes as hex, drawn when the folder was made: a node that lost its folder comes back as another one. */
  readonly incarnation: string;
  readonly clusterName: string;
  /** The node came to a cluster that ran already: it founds nothing, now or ever. Decided when the folder is made. */
  readonly joined: boolean;
}

export interface DataFolderOptions {
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** Source of the incarnation of a new folder. */
  readonly random: Random;
  /** What a new folder begins as; one that exists knows it better. */
  readonly joins: boolean;
}

export interface DataFolder {
  readonly identity: NodeIdentity;
  /** Absolute path. */
  readonly path: string;
  /** Gives the lock back. */
  close(): Promise<void>;
}

const IDENTITY_FOLDER = 'identity';
const IDENTITY_KEY = 'node';
const FORMAT = 1;
const INCARNATION_BYTES = 16;
/** Of rows without a checksum: a damaged name would be an unknown one. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set(['format', 'nodeId', 'incarnation', 'clusterName', 'joined']);

/**
 * Takes a data folder for this process, making it when it is absent or empty.
 * @throws DataFolderLockedError while another process (or another call in this one) has it
 * @throws DataFolderMismatchError when it belongs to another node or cluster
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const path = resolve(options.folder);
  const level = new ClassicLevel<string, string>(join(path, IDENTITY_FOLDER));
  try {
    await level.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: unknown } }).cause;
    if (cause?.code === 'LEVEL_LOCKED') throw new DataFolderLockedError(path, error);
    if (await holdsData(path)) throw new DataFolderCorruptError(path, 'cannot be opened', error);
    throw error;
  }
  try {
    const stored = await readIdentity(level, path, options.joins);
    if (stored === undefined && (await holdsData(path)))
      throw new DataFolderCorruptError(path, 'does not say any more whose data lies beside it');
    const identity = stored ?? (await writeIdentity(level, options));
    if (identity.nodeId !== options.nodeId)
      throw new DataFolderMismatchError(path, `belongs to node ${identity.nodeId}, not to node ${options.nodeId}`);
    if (identity.clusterName !== options.clusterName)
      throw new DataFolderMismatchError(
        path,
        `belongs to cluster "${identity.clusterName}", not to cluster "${options.clusterName}"`,
      );
    return { identity, path, close: () => level.close() };
  } catch (error) {
    await level.close();
    throw error;
  }
}

/**
 * Whether a process has the data folder now. Changes nothing in it.
 * @returns false also when there is no such folder
 */
export async function isDataFolderInUse(folder: string): Promise<boolean> {
  const level = new ClassicLevel<string, string>(join(resolve(folder), IDENTITY_FOLDER), { createIfMissing: false });
  try {
    await level.open();
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === 'LEVEL_LOCKED';
  }
  await level.close();
  return false;
}

/** @param joins for folders of a time when this was not written down */
async function readIdentity(
  level: ClassicLevel<string, string>,
  path: string,
  joins: boolean,
): Promise<NodeIdentity | undefined> {
  let row: string | undefined;
  try {
    row = await level.get(IDENTITY_KEY);
  } catch (error) {
    throw new DataFolderCorruptError(path, 'cannot be read', error);
  }
  if (row === undefined) return undefined;
  const stored = parseIdentity(row, path);
  if (stored.format !== FORMAT)
    throw new DataFolderMismatchError(path, `has format ${stored.format}, which this version of kvorum does not know`);
  const { incarnation, clusterName, joined = joins } = stored;
  return { nodeId: nodeId(stored.nodeId), incarnation, clusterName, joined };
}

interface StoredIdentity extends Omit<NodeIdentity, 'joined' | 'nodeId'> {
  readonly format: number;
  readonly nodeId: number;
  readonly joined?: boolean;
  /** CRC-32 of the row without this field; rows of earlier programs have none. */
  readonly crc?: number;
}

/** LevelDB does not verify its blocks, so the row proves itself. @throws DataFolderCorruptError */
function parseIdentity(row: string, path: string): StoredIdentity {
  let parsed: unknown;
  try {
    parsed = JSON.parse(row);
  } catch (error) {
    throw new DataFolderCorruptError(path, 'holds a damaged row', error);
  }
  if (typeof parsed !== 'object' || parsed === null) throw new DataFolderCorruptError(path, 'holds a damaged row');
  const { crc, ...rest } = parsed as StoredIdentity;
  const names = Object.keys(rest);
  const isWhole = ['format', 'nodeId', 'incarnation', 'clusterName'].every((name) => names.includes(name));
  const isIntact =
    crc === undefined ? !names.some((name) => !KNOWN_FIELDS.has(name)) : crc === crc32(JSON.stringify(rest));
  if (!isWhole || !isIntact) throw new DataFolderCorruptError(path, 'holds a row that is not what was written');
  return rest;
}

/** True when a log lies in the folder: then somebody owned it before. */
async function holdsData(path: string): Promise<boolean> {
  try {
    return (await readdir(join(path, 'log'))).length > 0;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    if (code === 'ENOTDIR')
      throw new DataFolderCorruptError(path, 'has a file "log" where the folder of the log belongs', error);
    throw error;
  }
}

async function writeIdentity(level: ClassicLevel<string, string>, options: DataFolderOptions): Promise<NodeIdentity> {
  const identity = {
    nodeId: options.nodeId,
    incarnation: options.random.bytes(INCARNATION_BYTES).toString('hex'),
    clusterName: options.clusterName,
    joined: options.joins,
  };
  const row = { format: FORMAT, ...identity };
  await level.put(IDENTITY_KEY, JSON.stringify({ ...row, crc: crc32(JSON.stringify(row)) }), { sync: true });
  return identity;
}
