/**
 * Keys that requests are signed with, from the configuration and from a file in the format that the AWS command line and SDKs read as shared
 * credentials, so that one file serves both sides:
 *
 *     [default]
 *     aws_access_key_id = kvorum
 *     aws_secret_access_key = ...
 *
 *     [reports]
 *     aws_access_key_id = reports
 *     aws_secret_access_key = ...
 *     kvorum_access = read-only
 *
 * Several count at a time: add a new key, change the clients, take the old one out.
 */
import { type Refreshable, readSecretFile, type Secret } from '../../../security/index.ts';
import type { Access } from '../operation/index.ts';
import { CredentialsFileError } from './errors.ts';

/** A key that requests may be signed with. */
export interface Credential {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** `read` refuses operations that write. */
  readonly access: Access;
}

/** Asked by the port. */
export interface CredentialSource {
  /** The same object until its secret or access change. */
  find(accessKeyId: string): Credential | undefined;
}

/** Where keys come from; both may be given. */
export interface CredentialSettings {
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: Secret | undefined;
  readonly file?: string | undefined;
}

const MAX_FILE_BYTES = 256 * 1024;
/** More than this many clients with keys of their own are served by something in front. */
const MAX_KEYS = 1_000;
/** A slash would end the key in the scope of a signature, and commas and blanks part what is around it. */
const KEY_ID = /^[\w.@:+=-]{1,128}$/;
const MAX_SECRET_LENGTH = 512;
const SECTION = /^\[\s*([^\]]*?)\s*\]$/;

const ACCESS: ReadonlyMap<string, Access> = new Map([
  ['read-only', 'read'],
  ['read-write', 'write'],
]);

/** Whether a text can be the id of a key. */
export const isAccessKeyId = (text: string): boolean => KEY_ID.test(text);

/**
 * The keys of a file. Settings that are not named above are those of other programs and are left alone.
 * @param refuse throws; what is in a line is never repeated
 */
function parseCredentials(text: string, refuse: (reason: string) => never): Map<string, Credential> {
  const found = new Map<string, Credential>();
  let section: { readonly name: string; readonly line: number; readonly values: Map<string, string> } | undefined;
  const endSection = (): void => {
    if (section === undefined) return;
    const { name, line, values } = section;
    const accessKeyId = values.get('aws_access_key_id');
    const secretAccessKey = values.get('aws_secret_access_key');
    const access = ACCESS.get(values.get('kvorum_access') ?? 'read-write');
    const where = `the section [${name}] at line ${line}`;
    if (access === undefined) refuse(`says something else than read-only or read-write as kvorum_access in ${where}`);
    // A profile of another kind, such as one that assumes a role.
    if (accessKeyId === undefined && secretAccessKey === undefined) return;
    if (accessKeyId === undefined || !isAccessKeyId(accessKeyId)) {
      refuse(`has no usable aws_access_key_id in ${where}: it has 1 to 128 letters, digits and any of . _ @ : + = -`);
    }
    if (secretAccessKey === undefined || secretAccessKey === '' || secretAccessKey.length > MAX_SECRET_LENGTH) {
      refuse(`has no usable aws_secret_access_key in ${where}: it has 1 to ${MAX_SECRET_LENGTH} characters`);
    }
    if (found.has(accessKeyId)) refuse(`has the access key of ${where} twice`);
    if (found.size >= MAX_KEYS) refuse(`has more than ${MAX_KEYS} keys`);
    found.set(accessKeyId, { accessKeyId, secretAccessKey, access });
  };
  text.split(/\r?\n/).forEach((raw, at) => {
    const written = raw.trim();
    if (written === '' || written.startsWith('#') || written.startsWith(';')) return;
    const name = SECTION.exec(written)?.[1];
    if (name !== undefined) {
      endSection();
      section = { name, line: at + 1, values: new Map() };
      return;
    }
    const equals = written.indexOf('=');
    if (equals < 0) refuse(`has no "name = value" at line ${at + 1}`);
    if (section === undefined) refuse(`has a value before the first section, at line ${at + 1}`);
    section.values.set(written.slice(0, equals).trim().toLowerCase(), written.slice(equals + 1).trim());
  });
  endSection();
  if (found.size === 0) refuse('holds no key; it has sections with aws_access_key_id and aws_secret_access_key');
  return found;
}

async function readCredentialsFile(path: string): Promise<Map<string, Credential>> {
  const refuse = (reason: string): never => {
    throw new CredentialsFileError(`the DynamoDB credentials file ${path} ${reason}`);
  };
  return parseCredentials(await readSecretFile(path, MAX_FILE_BYTES, refuse), refuse);
}

const isSame = (one: Credential, other: Credential | undefined): boolean =>
  other !== undefined && one.secretAccessKey === other.secretAccessKey && one.access === other.access;

/** The keys in use, read again from their file while the process runs. */
export class Credentials implements CredentialSource, Refreshable {
  readonly what: string;
  private readonly file: string | undefined;
  private readonly configured: Credential | undefined;
  private fromFile: ReadonlyMap<string, Credential>;

  private constructor(file: string | undefined, configured: Credential | undefined, read: Map<string, Credential>) {
    this.what = `DynamoDB credentials file ${file ?? ''}`;
    this.file = file;
    this.configured = configured;
    this.fromFile = read;
  }

  /** @throws CredentialsFileError */
  static async open({ accessKeyId, secretAccessKey, file }: CredentialSettings): Promise<Credentials> {
    const configured =
      accessKeyId === undefined || secretAccessKey === undefined
        ? undefined
        : { accessKeyId, secretAccessKey: secretAccessKey.reveal(), access: 'write' as const };
    return new Credentials(file, configured, file === undefined ? new Map() : await readCredentialsFile(file));
  }

  /** Nobody can sign anything. */
  get isEmpty(): boolean {
    return this.configured === undefined && this.fromFile.size === 0;
  }

  find(accessKeyId: string): Credential | undefined {
    const { configured } = this;
    return configured?.accessKeyId === accessKeyId ? configured : this.fromFile.get(accessKeyId);
  }

  async refresh(): Promise<boolean> {
    if (this.file === undefined) return false;
    const read = await readCredentialsFile(this.file);
    const { fromFile } = this;
    if (read.size === fromFile.size && [...read].every(([id, one]) => isSame(one, fromFile.get(id)))) return false;
    this.fromFile = read;
    return true;
  }
}
