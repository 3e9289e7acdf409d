import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Credentials } from '../../../../src/adapter/dynamodb/wire/credentials.ts';
import { CredentialsFileError } from '../../../../src/adapter/dynamodb/wire/errors.ts';
import { Secret } from '../../../../src/security/index.ts';

describe('credentials', () => {
  let folder = '';
  let file = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvorum-credentials-'));
    file = join(folder, 'credentials');
  });
  after(() => rm(folder, { recursive: true }));

  const section = (name: string, id: string, secret: string, more = ''): string =>
    `[${name}]\naws_access_key_id = ${id}\naws_secret_access_key=${secret}\n${more}\n`;

  async function refusal(text: string): Promise<string> {
    await writeFile(file, text);
    const failure = await Credentials.open({ file }).then(
      () => assert.fail('the file was taken'),
      (error: unknown) => error,
    );
    assert.ok(failure instanceof CredentialsFileError);
    return failure.message.slice(failure.message.indexOf(file) + file.length + 1);
  }

  test('come from a file as the AWS command line has it, several, some for reading only', async () => {
    await writeFile(
      file,
      `# keys\r\n${section('default', 'A', 's/e+c=r et', 'region = eu-west-1')}\n; more\n${section('r', 'B', 'x', 'KVORUM_ACCESS = read-only')}` +
        '[role]\nrole_arn = arn:aws:iam::1:role/x\n',
    );
    const credentials = await Credentials.open({ file });
    assert.deepEqual(credentials.find('A'), { accessKeyId: 'A', secretAccessKey: 's/e+c=r et', access: 'write' });
    assert.equal(credentials.find('B')?.access, 'read');
    assert.equal(credentials.find('C'), undefined);
    assert.equal(credentials.find('__proto__'), undefined);
    assert.equal(credentials.isEmpty, false);
  });

  test('come from the configuration beside the file', async () => {
    await writeFile(file, section('a', 'A', 'x'));
    const credentials = await Credentials.open({ file, accessKeyId: 'C', secretAccessKey: new Secret('y') });
    assert.equal(credentials.find('C')?.secretAccessKey, 'y');
    assert.equal(credentials.find('A')?.secretAccessKey, 'x');
    assert.equal((await Credentials.open({})).isEmpty, true);
  });

  test('change with their file, and stay as they were when it cannot be used', async () => {
    await writeFile(file, section('a', 'A', 'x'));
    const credentials = await Credentials.open({ file });
    const before = credentials.find('A');
    assert.equal(await credentials.refresh(), false);
    assert.equal(credentials.find('A'), before, 'the same object');
    await writeFile(file, section('a', 'A', 'z') + section('b', 'B', 'y'));
    assert.equal(await credentials.refresh(), true);
    assert.equal(credentials.find('A')?.secretAccessKey, 'z');
    await writeFile(file, 'nonsense');
    await assert.rejects(credentials.refresh(), CredentialsFileError);
    assert.equal(credentials.find('B')?.secretAccessKey, 'y');
    await writeFile(file, section('b', 'B', 'y'));
    assert.equal(await credentials.refresh(), true);
    assert.equal(credentials.find('A'), undefined);
  });

  test('are refused with the place of what is wrong, and without what stands there', async () => {
    assert.equal(await refusal(''), 'holds no key; it has sections with aws_access_key_id and aws_secret_access_key');
    assert.equal(await refusal('[a]\nsecret'), 'has no "name = value" at line 2');
    assert.equal(await refusal('a = b'), 'has a value before the first section, at line 1');
    assert.match(
      await refusal('[a]\naws_access_key_id = A'),
      /^has no usable aws_secret_access_key in the section \[a\] at line 1/,
    );
    assert.match(await refusal(section('a', 'A/B', 'x')), /^has no usable aws_access_key_id in the section \[a\]/);
    assert.match(
      await refusal(section('a', 'A', 'x', 'kvorum_access = all')),
      /^says something else than read-only or read-write/,
    );
    assert.equal(
      await refusal(`${section('a', 'A', 'x')}${section('b', 'A', 'y')}`),
      'has the access key of the section [b] at line 5 twice',
    );
    await rm(file);
    await assert.rejects(Credentials.open({ file }), /does not exist$/);
  });
});
