import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { SeededRandom } from '../../src/platform/index.ts';
import { KeySource, nameOfWrapping, Secret, WrappingKeys } from '../../src/security/index.ts';

const ONE = '11'.repeat(32);
const TWO = Buffer.alloc(32, 0x22).toString('base64');
const keysOf = (...texts: string[]): WrappingKeys => WrappingKeys.parse(texts.join('\n'), 'the test');
const random = () => new SeededRandom(7);
const DATA = Buffer.from('0123456789abcdef0123456789abcdef');

describe('a key that wraps', () => {
  test('gives back what it wrapped, for the same use alone', () => {
    const wrapped = keysOf(ONE).wrap(DATA, 'backup 7', random());
    assert.ok(!wrapped.includes(DATA.subarray(0, 8)));
    assert.deepEqual(keysOf(ONE).unwrap(wrapped, 'backup 7', 'it'), DATA);
    assert.throws(() => keysOf(ONE).unwrap(wrapped, 'backup 8', 'it'), { code: 'ENCRYPTION_KEY_INVALID' });
  });

  test('is written in hexadecimal or base64, one a line, and the first one wraps', () => {
    const old = keysOf(ONE).wrap(DATA, 'x', random());
    const both = keysOf('# the new one', TWO, '', ONE);
    assert.deepEqual(both.unwrap(old, 'x', 'it'), DATA);
    assert.equal(nameOfWrapping(both.wrap(DATA, 'x', random())), keysOf(TWO).name);
    assert.equal(both.names.length, 2);
  });

  test('is asked for by its name when it is not given', () => {
    const wrapped = keysOf(ONE).wrap(DATA, 'x', random());
    assert.throws(() => keysOf(TWO).unwrap(wrapped, 'x', 'keys.json'), {
      code: 'ENCRYPTION_KEY_WRONG',
      message: new RegExp(`keys.json needs key ${keysOf(ONE).name}.* given are ${keysOf(TWO).name}`),
    });
  });

  test('refuses what was changed in any bit', () => {
    const wrapped = keysOf(ONE).wrap(DATA, 'x', random());
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      const other = Buffer.from(wrapped);
      other[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => keysOf(ONE).unwrap(other, 'x', 'it'), { code: /^ENCRYPTION_KEY_(?:INVALID|WRONG)$/ });
    }
    assert.throws(() => keysOf(ONE).unwrap(wrapped.subarray(0, 30), 'x', 'it'), { code: 'ENCRYPTION_KEY_INVALID' });
  });

  test('never wraps twice in the same way', () => {
    const source = random();
    const keys = keysOf(ONE);
    assert.notDeepEqual(keys.wrap(DATA, 'x', source), keys.wrap(DATA, 'x', source));
  });

  test('refuses what is no key, and does not repeat it', () => {
    for (const text of ['', 'secret-passphrase', ONE.slice(2), `${ONE}\nsecret-passphrase`, `${ONE}\n`.repeat(17)]) {
      assert.throws(
        () => WrappingKeys.parse(text, 'the key file k'),
        (error: Error & { code: string }) =>
          error.code === 'ENCRYPTION_KEY_INVALID' &&
          /the key file k/.test(error.message) &&
          !/secret|1111/.test(error.message),
      );
    }
  });

  test('has these bytes', () => {
    assert.equal(
      keysOf(ONE).wrap(DATA.subarray(0, 4), 'x', random()).toString('hex'),
      '01e142ac49820e61e50c2aeef365a34e1ba8b64d03105a337bb813f6d3a9b1251e165f47b8ccfcf7f729217b1c',
    );
  });
});

describe('where keys come from', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-keys-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'key');

  test('a file that is read again tells of another key, once it is in use', async () => {
    writeFileSync(file, `${ONE}\n`);
    const source = (await KeySource.open({ file }))!;
    const told: string[] = [];
    source.onChange = async (keys) => void told.push(keys.name);
    assert.equal(await source.refresh(), false);
    writeFileSync(file, `${TWO}\n${ONE}\n`);
    assert.equal(await source.refresh(), true);
    assert.deepEqual(told, [keysOf(TWO).name]);
    writeFileSync(file, 'nonsense\n');
    await assert.rejects(source.refresh(), { code: 'ENCRYPTION_KEY_INVALID' });
    assert.equal(source.keys.name, keysOf(TWO).name, 'what was read before stays in use');
  });

  test('a command prints them; what it prints stays here', async () => {
    const source = (await KeySource.open({ command: `printf '%s\\n' ${TWO}` }))!;
    assert.equal(source.keys.name, keysOf(TWO).name);
    assert.equal(source.isCommand, true);
    await assert.rejects(KeySource.open({ command: 'echo secret; exit 3' }), {
      code: 'ENCRYPTION_KEY_INVALID',
      message: 'the command that gives the key ended with code 3',
    });
    await assert.rejects(KeySource.open({ command: 'yes' }), { message: /prints too much/ });
  });

  test('the key itself may be given, or nothing at all', async () => {
    assert.equal((await KeySource.open({ key: new Secret(ONE) }))?.keys.name, keysOf(ONE).name);
    assert.equal(await KeySource.open({}), undefined);
    await assert.rejects(KeySource.open({ file: join(folder, 'absent') }), { message: /absent does not exist/ });
  });
});
