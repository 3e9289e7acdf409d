/**
 * Keys for DynamoDB clients of a cluster on this machine, made once and kept beside its data: whoever may read the folder may sign, and nobody has to
 * configure anything. The file is what the AWS command line and SDKs read, so clients are pointed at it as it is.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ClusterSettingValues } from '../../src/config/index.ts';

const FILE = 'dynamodb-credentials';

/** One new key, in the format of AWS shared credentials. */
export const newCredentials = (): string =>
  `[default]\naws_access_key_id = kvorum\naws_secret_access_key = ${randomBytes(30).toString('base64url')}\n`;

/** Whether settings ask for signatures and say nothing about keys. */
const lacksKeys = (values: ClusterSettingValues): boolean =>
  values['dynamodb.port'] !== undefined &&
  !values['dynamodb.unsigned'] &&
  values['dynamodb.accessKeyId'] === '' &&
  values['dynamodb.credentialsFile'] === '';

/**
 * The settings with a file of keys where they need one and name none. The file is made when it is not there.
 * @throws the system's error when it cannot be written
 */
export async function withLocalCredentials(values: ClusterSettingValues): Promise<ClusterSettingValues> {
  if (!lacksKeys(values)) return values;
  const path = resolve(join(values.dataFolder, FILE));
  await mkdir(values.dataFolder, { recursive: true, mode: 0o700 });
  await writeFile(path, newCredentials(), { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return { ...values, 'dynamodb.credentialsFile': path };
}
