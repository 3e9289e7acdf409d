/**
 * Who may talk to a node: passwords, certificates, and the rule that nothing listens beyond this machine where nobody has
 * to prove who they are, unless `insecure` says that this is meant.
 */
import { ACCESS_ROLES, isLoopback, type RoleNames, type Secret } from '../security/index.ts';
import type { ConfigProblem } from './errors.ts';
import {
  choiceSetting,
  integerSetting,
  optionalFileSetting,
  optionalTextSetting,
  type SettingValues,
  secretSetting,
  switchSetting,
} from './setting.ts';

/** Certificates that clients of a port are served with. */
export interface ClientTls {
  readonly cert: string;
  readonly key: string;
  /** Authorities of the clients' certificates; undefined when they are not asked for one. */
  readonly ca: string | undefined;
  readonly clientAuth: ClientAuth;
}

/** Certificates that nodes and operators' tools show each other. */
export interface GrpcTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** Names in certificates whose holders may be nodes; empty: every holder may. */
  readonly nodeNames?: readonly string[];
}

/** Who may do what on the gRPC port. */
export interface GrpcAccess {
  /** Undefined: certificates give no role. */
  readonly roles?: RoleNames | undefined;
  /** With the tokens that count; undefined: there are none. With neither of the two whoever can connect may do everything. */
  readonly tokenFile?: string | undefined;
  /** With the secret that nodes prove themselves with; undefined: they do not. */
  readonly secretFile?: string | undefined;
  /** Nodes without it are taken too. */
  readonly isSecretOptional?: boolean;
}

const CLIENT_AUTHS = ['none', 'optional', 'required'] as const;
/** Whether clients show a certificate; an optional one that is shown must be right. */
export type ClientAuth = (typeof CLIENT_AUTHS)[number];

const MAX_PASSWORD_LENGTH = 512;
const MAX_KEYS_LENGTH = 2048;

/** Settings about security, the same for one node and for a local cluster. */
export const securitySettings = {
  'redis.password': secretSetting(
    'Password that Redis clients give with AUTH or HELLO; a command line can be read by every user of the machine, so ' +
      'prefer the file or the environment',
    MAX_PASSWORD_LENGTH,
  ),
  'redis.passwordFile': optionalFileSetting(
    'File with the passwords that count for Redis clients, one a line; read again when it changes and on SIGHUP',
  ),
  'redis.operatorPasswordFile': optionalFileSetting(
    'File with the passwords of the Redis user kvorum-operator, one a line, who may do everything whatever users the cluster has, also ' +
      'where they are not known; read again when it changes and on SIGHUP',
  ),
  'redis.aclFile': optionalFileSetting(
    'File with users in the format of Redis, for ACL LOAD and ACL SAVE; a cluster without users takes its first ones from there',
  ),
  'redis.tls.cert': optionalFileSetting(
    'Certificate (PEM) of the Redis port, with intermediate ones behind it; makes the port speak TLS only; read again ' +
      'when it changes and on SIGHUP',
  ),
  'redis.tls.key': optionalFileSetting('Private key (PEM, no passphrase) of that certificate'),
  'redis.tls.ca': optionalFileSetting('Authorities (PEM) that certificates of Redis clients must lead to'),
  'redis.tls.clientAuth': choiceSetting({
    description: 'Whether Redis clients must show a certificate',
    defaultValue: 'none',
    choices: CLIENT_AUTHS,
    placeholder: 'when',
  }),
  'dynamodb.accessKeyId': optionalTextSetting('Access key that DynamoDB clients sign with', 'id'),
  'dynamodb.secretAccessKey': secretSetting(
    'Its secret; a command line can be read by every user of the machine, so prefer the file or the environment',
    MAX_PASSWORD_LENGTH,
  ),
  'dynamodb.credentialsFile': optionalFileSetting(
    'File with the keys that DynamoDB clients sign with, in the format of AWS shared credentials; a section may say kvorum_access = ' +
      'read-only; read again when it changes and on SIGHUP',
  ),
  'dynamodb.unsigned': switchSetting({
    description: 'Answer DynamoDB clients whatever they sign with; beyond this machine it needs insecure as well',
    defaultValue: false,
  }),
  'dynamodb.tls.cert': optionalFileSetting(
    'Certificate (PEM) of the DynamoDB port, with intermediate ones behind it; makes the port speak TLS only; read again ' +
      'when it changes and on SIGHUP',
  ),
  'dynamodb.tls.key': optionalFileSetting('Private key (PEM, no passphrase) of that certificate'),
  'dynamodb.tls.ca': optionalFileSetting('Authorities (PEM) that certificates of DynamoDB clients must lead to'),
  'dynamodb.tls.clientAuth': choiceSetting({
    description: 'Whether DynamoDB clients must show a certificate',
    defaultValue: 'none',
    choices: CLIENT_AUTHS,
    placeholder: 'when',
  }),
  'grpc.tls.cert': optionalFileSetting(
    'Certificate (PEM) that this node shows to nodes and tools, which must show one too; makes the gRPC port speak TLS ' +
      'only; read again when it changes and on SIGHUP',
  ),
  'grpc.tls.key': optionalFileSetting('Private key (PEM, no passphrase) of that certificate'),
  'grpc.tls.ca': optionalFileSetting(
    "Authorities (PEM) that certificates of nodes and tools must lead to; the cluster's own, for whoever has a " +
      'certificate of theirs is trusted',
  ),
  'grpc.tls.nodeNames': optionalTextSetting(
    'Names, with commas between them, one of which a certificate must have (common name or DNS name) for its holder to be ' +
      'taken for a node; without it every certificate of the authorities will do',
    'name,...',
  ),
  'backup.key': secretSetting(
    'Key that wraps the keys of backups, 32 bytes in hexadecimal or base64, the one to use first and older ones behind it, one a line; the same ' +
      'on all nodes; meant for the environment',
    MAX_KEYS_LENGTH,
  ),
  'backup.keyFile': optionalFileSetting('Or a file with these keys, one a line; read for each backup'),
  'backup.keyCommand': optionalTextSetting(
    'Or a command line for the shell that prints these keys, one a line; run for each backup',
    'command',
  ),
  'backup.encrypted': switchSetting({
    description: 'Encrypt backups; without it everybody can read them who can read their place',
    defaultValue: true,
  }),
  'grpc.roles.read': optionalTextSetting(
    'Names, with commas between them, one of which a certificate must have (common name, DNS name, URI or mail address) for its holder ' +
      'to look at the cluster; * is every certificate of the authorities. As soon as a role or grpc.tokenFile is set, whoever is named ' +
      'nowhere may do nothing',
    'name,...',
  ),
  'grpc.roles.operate': optionalTextSetting(
    'Those of certificates whose holders may also move leaders and ranges, change log levels, and end transactions',
    'name,...',
  ),
  'grpc.roles.admin': optionalTextSetting(
    'Those of certificates whose holders may also change members, groups, settings, features and users, and copy everything',
    'name,...',
  ),
  'grpc.roles.data': optionalTextSetting(
    'Those of certificates whose holders may read and write keys over gRPC; operators may not unless they are named here too',
    'name,...',
  ),
  'grpc.tokenFile': optionalFileSetting(
    'File with tokens of operators and programs, a line <role> <name> <token> each, where the token may be sha256: and its digest; read ' +
      'again when it changes and on SIGHUP',
  ),
  'grpc.secretFile': optionalFileSetting(
    'File with a secret of 32 characters or more that nodes prove themselves with to each other, for clusters without grpc.tls; of several ' +
      'lines the first is proven with, and all count; read again when it changes and on SIGHUP',
  ),
  'grpc.secretOptional': switchSetting({
    description: 'Take nodes that prove nothing too, while the secret is brought to one node after another',
    defaultValue: false,
  }),
  'encryption.key': secretSetting(
    'Key that wraps the keys of what is stored, 32 bytes in hexadecimal or base64, the one to use first and older ones behind it, one a ' +
      'line; with it everything on disk is encrypted, also what is there already; meant for the environment',
    MAX_KEYS_LENGTH,
  ),
  'encryption.keyFile': optionalFileSetting(
    'Or a file with these keys, one a line; read again when it changes and on SIGHUP, so that another key comes into use while the node runs',
  ),
  'encryption.keyCommand': optionalTextSetting(
    'Or a command line for the shell that prints these keys, one a line; run at the start, every five minutes and on SIGHUP',
    'command',
  ),
  'encryption.dataKeyDays': integerSetting({
    description:
      'Days after which a node draws a new key for what it stores and encrypts everything anew; 0 does so only when another key wraps',
    defaultValue: 0,
    min: 0,
    max: 3650,
  }),
  insecure: switchSetting({
    description: 'Listen beyond this machine also where no password or certificate is asked for',
    defaultValue: false,
  }),
} as const;

type SecurityValues = SettingValues<typeof securitySettings>;

/** What is wrong with these settings taken together; empty when they fit. */
export function securityProblems(values: SecurityValues): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const complain = (key: string, message: string): void => {
    problems.push({ key, origin: 'the whole configuration', message });
  };
  if (values['redis.password'] !== undefined && values['redis.passwordFile'] !== '') {
    complain('redis.passwordFile', 'redis.password is set too: give one of them');
  }
  for (const whose of ['backup', 'encryption'] as const) {
    const places = (['key', 'keyFile', 'keyCommand'] as const).filter((name) => Boolean(values[`${whose}.${name}`]));
    if (places.length > 1) complain(`${whose}.${places[1]}`, `${whose}.${places[0]} is set too: give one of them`);
    if (whose === 'backup' && places.length > 0 && !values['backup.encrypted']) {
      complain('backup.encrypted', `backup.${places[0]} is set: leave it out for backups that are not encrypted`);
    }
  }
  const isTls = {
    redis: values['redis.tls.cert'] !== '',
    dynamodb: values['dynamodb.tls.cert'] !== '',
    grpc: values['grpc.tls.cert'] !== '',
  };
  const hasKeyId = values['dynamodb.accessKeyId'] !== '';
  if (hasKeyId !== (values['dynamodb.secretAccessKey'] !== undefined)) {
    const [missing, given] = hasKeyId ? ['secretAccessKey', 'accessKeyId'] : ['accessKeyId', 'secretAccessKey'];
    complain(`dynamodb.${missing}`, `is missing; dynamodb.${given} needs it`);
  }
  for (const port of ['redis', 'dynamodb', 'grpc'] as const) {
    const hasKey = values[`${port}.tls.key`] !== '';
    if (isTls[port] && !hasKey) complain(`${port}.tls.key`, `is missing; ${port}.tls.cert needs its key`);
    if (!isTls[port] && hasKey) complain(`${port}.tls.cert`, `is missing; ${port}.tls.key alone does nothing`);
  }
  if (isTls.grpc !== (values['grpc.tls.ca'] !== '')) {
    const [missing, given] = isTls.grpc ? ['ca', 'cert'] : ['cert', 'ca'];
    complain(`grpc.tls.${missing}`, `is missing; nodes prove themselves to each other, so grpc.tls.${given} needs it`);
  }
  if (values['grpc.tls.nodeNames'] !== '' && !isTls.grpc) {
    complain('grpc.tls.nodeNames', 'does nothing without grpc.tls.cert: without certificates nobody has a name');
  }
  problems.push(...accessProblems(values, isTls.grpc));
  for (const port of ['redis', 'dynamodb'] as const) {
    const asksClients = values[`${port}.tls.clientAuth`] !== 'none';
    const hasCa = values[`${port}.tls.ca`] !== '';
    if (asksClients && !isTls[port]) complain(`${port}.tls.clientAuth`, `needs ${port}.tls.cert and ${port}.tls.key`);
    if (asksClients && !hasCa) complain(`${port}.tls.ca`, 'is missing; certificates of clients are checked by it');
    if (hasCa && !asksClients) {
      complain(`${port}.tls.ca`, `does nothing while ${port}.tls.clientAuth is none; say required, or optional`);
    }
  }
  return problems;
}

/** What is wrong with who may do what on the gRPC port; nothing while nobody has said it. */
function accessProblems(values: SecurityValues, isTls: boolean): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const complain = (key: string, message: string): void => {
    problems.push({ key, origin: 'the whole configuration', message });
  };
  const given = ACCESS_ROLES.filter((role) => values[`grpc.roles.${role}`] !== '');
  const { roles, tokenFile, secretFile, isSecretOptional } = grpcAccessOf(values);
  if (isSecretOptional && secretFile === undefined)
    complain('grpc.secretOptional', 'does nothing without grpc.secretFile');
  if (roles === undefined && tokenFile === undefined) return problems;
  for (const role of isTls ? [] : given) {
    complain(
      `grpc.roles.${role}`,
      'does nothing without grpc.tls.cert: without certificates nobody has a name; see grpc.tokenFile',
    );
  }
  if (isTls && tokenFile === undefined && roles?.admin === undefined) {
    complain('grpc.roles.admin', 'is missing: nobody could change anything; name a certificate, or set grpc.tokenFile');
  }
  // Whoever is taken for a node may do everything.
  const hasSecret = secretFile !== undefined && !isSecretOptional;
  if (isTls && values['grpc.tls.nodeNames'] === '' && !hasSecret) {
    complain(
      'grpc.tls.nodeNames',
      'is missing: without it every holder of a certificate could pose as a node, whatever its role',
    );
  }
  if (!isTls && !hasSecret) {
    complain(
      'grpc.secretFile',
      'is missing, or optional: whoever reaches the port could pose as a node, without any token',
    );
  }
  return problems;
}

const namesIn = (text: string): string[] =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');

/** Who may do what on the gRPC port. */
export function grpcAccessOf(values: SecurityValues): GrpcAccess {
  const roles = ACCESS_ROLES.map((role) => [role, namesIn(values[`grpc.roles.${role}`])] as const).filter(
    ([, names]) => names.length > 0,
  );
  return {
    roles: roles.length === 0 ? undefined : (Object.fromEntries(roles) as RoleNames),
    tokenFile: values['grpc.tokenFile'] || undefined,
    secretFile: values['grpc.secretFile'] || undefined,
    isSecretOptional: values['grpc.secretOptional'],
  };
}

/** Where the key is that wraps those of what is stored; no place: nothing is encrypted. */
export interface EncryptionSettings {
  readonly key: Secret | undefined;
  readonly file: string | undefined;
  readonly command: string | undefined;
  readonly dataKeyDays: number;
}

export const encryptionOf = (values: SecurityValues): EncryptionSettings => ({
  key: values['encryption.key'],
  file: values['encryption.keyFile'] || undefined,
  command: values['encryption.keyCommand'] || undefined,
  dataKeyDays: values['encryption.dataKeyDays'],
});

/** Undefined without TLS. */
export function clientTlsOf(values: SecurityValues, port: 'redis' | 'dynamodb'): ClientTls | undefined {
  if (values[`${port}.tls.cert`] === '') return undefined;
  return {
    cert: values[`${port}.tls.cert`],
    key: values[`${port}.tls.key`],
    ca: values[`${port}.tls.ca`] || undefined,
    clientAuth: values[`${port}.tls.clientAuth`],
  };
}

/** Undefined without TLS. */
export function grpcTlsOf(values: SecurityValues): GrpcTls | undefined {
  if (values['grpc.tls.cert'] === '') return undefined;
  return {
    cert: values['grpc.tls.cert'],
    key: values['grpc.tls.key'],
    ca: values['grpc.tls.ca'],
    nodeNames: namesIn(values['grpc.tls.nodeNames']),
  };
}

/** The part of a node's options that says who may talk to it. */
export interface Exposure {
  readonly redis: {
    readonly host: string;
    readonly password?: Secret | undefined;
    readonly passwordFile?: string | undefined;
    readonly tls?: ClientTls | undefined;
  };
  /** Undefined: there is no such port. */
  readonly dynamodb?: { readonly host: string; readonly isUnsigned?: boolean } | undefined;
  readonly grpc: { readonly host: string; readonly tls?: GrpcTls | undefined } & GrpcAccess;
  readonly metrics: { readonly host: string };
  readonly insecure?: boolean;
}

/** Listeners that others could use without proving who they are; empty when there are none, or when that is meant. */
export function exposureProblems({ redis, dynamodb, grpc, insecure }: Exposure): ConfigProblem[] {
  if (insecure === true) return [];
  const problems: ConfigProblem[] = [];
  const complain = (key: string, host: string, who: string, remedy: string): void => {
    problems.push({
      key,
      origin: 'the whole configuration',
      message:
        `${who} at ${host} could do everything without proving who they are: ${remedy}, or say insecure: yes ` +
        '(--insecure) on a network that nobody else is on',
    });
  };
  const asksRedis =
    redis.password !== undefined || redis.passwordFile !== undefined || redis.tls?.clientAuth === 'required';
  if (!isLoopback(redis.host) && !asksRedis) {
    const remedy = 'set redis.passwordFile (or redis.password), or redis.tls with clientAuth: required';
    complain('redis.host', redis.host, 'Redis clients', remedy);
  }
  if (dynamodb?.isUnsigned === true && !isLoopback(dynamodb.host)) {
    complain('dynamodb.host', dynamodb.host, 'DynamoDB clients', 'let them sign, without dynamodb.unsigned');
  }
  const asksNodes = grpc.secretFile !== undefined && grpc.isSecretOptional !== true;
  if (!isLoopback(grpc.host) && grpc.tls === undefined && !(asksNodes && grpc.tokenFile !== undefined)) {
    const remedy =
      'set grpc.tls.cert, grpc.tls.key and grpc.tls.ca (or, on a network where nobody listens, grpc.secretFile and grpc.tokenFile)';
    complain('grpc.host', grpc.host, 'other nodes and tools', remedy);
  }
  return problems;
}

/** What to tell about metrics that others can read; undefined when only this machine can. */
export const metricsNote = ({ metrics }: Exposure): string | undefined =>
  isLoopback(metrics.host)
    ? undefined
    : `metrics and health at ${metrics.host} can be read by whoever reaches that address; they hold no keys or values`;
