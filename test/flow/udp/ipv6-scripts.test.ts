/** The scripts of UDP once more, over IPv6: each file as it is, with benches that speak it. What differs stands in ipv6.test.ts. */
import { speakIpv6 } from './speak.ts';

speakIpv6();
for (const name of ['engine', 'inbound', 'pressure', 'sending']) await import(`./${name}.test.js`);
