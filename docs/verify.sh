#!/bin/sh
# An auditor's check of a Consign bundle, with nothing of Consign: a shell and coreutils, GNU tar, jq, OpenSSL 3.
#
#   sh verify.sh FILE.consign FINGERPRINT
#
# FINGERPRINT is the sha256, in hexadecimal, of the domain's first root, as it came to you on paper. One line is
# printed per check. Exit code: 0 everything holds; 1 something does not; 2 the check could not be made.
#
# The form of everything checked here: docs/format.md. Not checked, because an auditor at a desk has no memory and no
# site: whether a newer bundle was seen before, whom this one is addressed to, expiry (printed at the end). Not looked
# at, but by `consign verify`: single frames of packed members, and points of the curve that only have a part of small
# order (keys that are of small order, or written in a second way, are refused here too).
set -eu
export LC_ALL=C TZ=UTC
ok() { printf 'ok       %s\n' "$*"; }
refuse() { printf 'REFUSED  %s\n' "$*"; exit 1; }
cannot() { printf 'verify.sh: %s\n' "$*" >&2; exit 2; }

[ $# -eq 2 ] || cannot 'usage: sh verify.sh FILE.consign FINGERPRINT'
for tool in openssl jq sha256sum basenc tar sed grep; do
    command -v "$tool" > /dev/null || cannot "$tool is not installed"
done
file=$(realpath -e -- "$1") || cannot "$1 is not there"
fingerprint=$(printf '%s' "$2" | tr -d ' :\n' | tr A-F a-f)
printf '%s' "$fingerprint" | grep -Eqx '[0-9a-f]{64}' || cannot "$2 is no fingerprint of 64 hexadecimal digits"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
sha256() { sha256sum < "$1" | cut -d ' ' -f 1; }
length() { wc -c < "$1"; }
unhex() { tr a-f A-F | basenc --base16 -d; }

# A document is {"signatures":[...],"signed":{...}} on one line. What was signed are the bytes of `signed` as they stand
# in the file: they are cut out, never written anew by a JSON tool, which might order or escape them another way.
# The cut is safe because what stands before it has a closed grammar, without room for a quote or a backslash.
# From then on only the cut-out bytes are read: what is checked is what is interpreted.
SIGNATURE='\{"keyid":"[0-9a-f]{64}","sig":"[0-9a-f]{128}"\}'
BEFORE="^\\{\"signatures\":\\[($SIGNATURE(,$SIGNATURE)*)?\\],\"signed\":"

# split DOCUMENT: writes DOCUMENT.signed, and DOCUMENT.signatures with a line `KEYID SIGNATURE` each.
split() {
    [ "$(wc -l < "$1")" -eq 0 ] && grep -Eq "$BEFORE\\{.*\\}\\}\$" "$1" || refuse "$1 is no signed document"
    sed -E "s/$BEFORE//; s/\\}\$//" "$1" > "$1.signed"
    grep -Eo "$BEFORE" "$1" | grep -Eo "$SIGNATURE" | sed -E 's/.*"(.*)","sig":"(.*)".*/\1 \2/' > "$1.signatures"
    canonical "$1.signed"
}

# Keys in order and once each, no white space: the one form, so that nobody reads a document in two ways.
canonical() { jq -cSj . "$1" 2> /dev/null | cmp -s - "$1" || refuse "$1 is not in the canonical form"; }

# says DOCUMENT FILTER [jq options]: asks what was signed; false too where the answer is null, missing or an error.
says() { document=$1 filter=$2; shift 2; jq -e "$@" "$filter" "$document.signed" > /dev/null 2>&1; }

# holds KEY SIGNATURE FILE: Ed25519 (RFC 8032). The prefix makes a SubjectPublicKeyInfo of a raw key (RFC 8410 §4).
holds() {
    printf '302a300506032b6570032100%s' "$1" | unhex > key.der
    printf '%s' "$2" | unhex > signature
    openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in "$3" -sigfile signature > /dev/null 2>&1
}

# signed_by DOCUMENT ROOT ROLE [OTHER]: the threshold of ROLE in ROOT, counted by distinct public keys. Every signature
# must hold and be by a key of the role; beside them only root keys of OTHER may sign, and those are not counted.
signed_by() {
    [ -z "$(cut -d ' ' -f 1 "$1.signatures" | sort | uniq -d)" ] || refuse "$1 is signed twice by one key"
    : > counted
    while read -r id signature; do
        if ! says "$2" '.roles[$role].keyids | index($id)' --arg role "$3" --arg id "$id"; then
            if [ -n "${4:-}" ] && says "$4" '.roles.root.keyids | index($id)' --arg id "$id"; then continue; fi
            refuse "$1 is signed by key $id, which has no say as $3"
        fi
        key=$(jq -r --arg id "$id" '.keys[$id].keyval.public' "$2.signed")
        holds "$key" "$signature" "$1.signed" || refuse "$1: the signature by key $id does not hold"
        echo "$key" >> counted
    done < "$1.signatures"
    have=$(sort -u counted | wc -l)
    need=$(jq -r --arg role "$3" '.roles[$role].threshold' "$2.signed")
    [ "$have" -ge "$need" ] || refuse "$1 has $have of the $need signatures it needs as $3"
    signers="$have signed, $need needed"
}

# --- The archive ------------------------------------------------------------------------------------------------------
tar --quoting-style=escape -tvf "$file" > listing 2> said || refuse "tar cannot list it: $(head -n 1 said)"
[ ! -s said ] || refuse "tar says: $(head -n 1 said)"
strange=$(grep -Evm 1 '^-rw-r--r-- 0/0 +[0-9]+ 1970-01-01 00:00 [a-z0-9][-a-z0-9./]*$' listing || true)
[ -z "$strange" ] || refuse "a member that is no plain file of this format: $strange"
sed -E 's/^.* 0\/0 +([0-9]+) .* ([^ ]+)$/\1 \2/' listing > members
total=1024
while read -r size name; do total=$((total + 512 + (size + 511) / 512 * 512)); done < members
# Were there headers that tar does not show, or bytes after the end, the sum would be another.
[ "$total" -eq "$(length "$file")" ] || refuse "the members make $total bytes, the file has $(length "$file")"
[ "$(tail -c 1024 "$file" | tr -d '\0' | wc -c)" -eq 0 ] || refuse 'the end is not zero'
# What stands between the content of a member and the next header.
padding() {
    at=0
    while read -r size name; do
        at=$((at + 512 + size)) pad=$(((512 - size % 512) % 512))
        if [ "$pad" -gt 0 ]; then
            dd if="$file" iflag=skip_bytes,count_bytes skip="$at" count="$pad" status=none
        fi
        at=$((at + pad))
    done < members
}
[ "$(padding | tr -d '\0' | wc -c)" -eq 0 ] || refuse 'the padding behind a member is not zero'
ok "archive: $(wc -l < members) plain files, nothing hidden in between, nothing after the end"

# The one order: format, roots from 1 without a gap, statements by name, then either the end or a release.
cut -d ' ' -f 2 members | sed '/^filler$/q' > names
roots=$(grep -Ec '^metadata/[0-9]+\.root\.json$' names || true)
statements=$(grep -E '^metadata/statements/[0-9a-f]{64}\.json$' names || true)
{
    echo consign-format
    for n in $(seq "$roots"); do echo "metadata/$n.root.json"; done
    if [ -n "$statements" ]; then echo "$statements" | sort -u; fi
    if grep -q '^metadata/timestamp' names; then
        printf 'metadata/%s.json\n' timestamp snapshot targets carriage
        printf '%s\n' release.json filler
    fi
} > order
[ "$roots" -gt 0 ] && cmp -s names order || refuse 'the head has not the members of the format, in order'
sed '/^filler$/d' names | tar -xf "$file" -T - || refuse 'the head cannot be read'
printf '1\n' | cmp -s - consign-format || refuse 'not version 1 of the format'
ok "head: roots 1 to $roots, documents in order"
cd metadata

# --- Roots: TUF 1.0.31 §5.3 -------------------------------------------------------------------------------------------
# No keys: y of 0, 1 and -1, y of 2^255 - 19 and more, and the points of order 8, each with either sign. Signatures by
# some of them hold for anything; the others are second spellings (RFC 8032 §5.1.3).
WEAK='^(0[01](00){30}[08]0|(e[c-f]|f[0-9a-f])(ff){30}[7f]f|26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc[08]5'
WEAK="$WEAK|c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03[7f]a)\$"
[ "$(sha256 1.root.json)" = "$fingerprint" ] || refuse "root 1 is $(sha256 1.root.json), not the one on paper"
ok 'root 1 is the one on paper'
for n in $(seq "$roots"); do
    root=$n.root.json before=
    if [ "$n" -gt 1 ]; then before=$((n - 1)).root.json; fi
    split "$root"
    # By the old root first: until its keys have vouched for the new one, nothing in it counts.
    if [ "$before" ]; then signed_by "$root" "$before" root "$root"; fi
    says "$root" '._type == "root" and .version == $n and .consistent_snapshot == false and (."x-domain" | length > 0)
        and (.roles | keys) == ["root", "snapshot", "targets", "timestamp"]
        and all(.keys[]; .keytype == "ed25519" and .scheme == "ed25519" and (.keyval.public | test("^[0-9a-f]{64}$")))
        and (.keys as $keys | all(.roles[]; .threshold >= 1 and .threshold == (.threshold | floor)
            and .threshold <= ([.keyids[] | $keys[.] // empty | .keyval.public] | unique | length)))' \
        --argjson n "$n" || refuse "$root is no root $n of the expected form"
    says "$root" 'all(.keys[]; .keyval.public | test($weak) | not)' --arg weak "$WEAK" ||
        refuse "$root has a key that is of small order, or not written in the one way"
    signed_by "$root" "$root" root "$before"
    domain=$(jq -r '."x-domain"' "$root.signed")
    says "${before:-$root}" '."x-domain" == $domain' --arg domain "$domain" || refuse "$root is of another domain"
    ok "root $n of domain $domain: $signers${before:+, and by the threshold of $before}"
done

for statement in $statements; do
    name=${statement#metadata/}
    [ "$(sha256 "$name").json" = "${name#statements/}" ] || refuse "$name is not named by its digest"
    split "$name"
    signed_by "$name" "$root" targets
    says "$name" '.domain == $domain' --arg domain "$domain" || refuse "$name is of another domain"
    ok "statement $(jq -r ._type "$name.signed"): by the approvers, $signers; what it says is not judged here"
done
if [ ! -e timestamp.json ]; then ok 'metadata alone: this bundle carries no release'; exit 0; fi

# --- Timestamp, snapshot, targets: §5.4 to §5.6 -----------------------------------------------------------------------
# Each names the next by version and by the digest of its signed bytes, which one more signature does not change.
from=
for role in timestamp snapshot targets; do
    split "$role.json"
    signed_by "$role.json" "$root" "$role"
    says "$role.json" '._type == $role' --arg role "$role" || refuse "$role.json is of another type"
    if [ "$from" ]; then
        says "$from" '(.meta | keys) == [$name] and .meta[$name].version == $version
            and .meta[$name]."x-signed-sha256" == $sha256' --arg name "$role.json" --arg sha256 "$(sha256 "$role.json.signed")" \
            --argjson version "$(jq .version "$role.json.signed")" || refuse "$role.json is not the one that $from names"
    fi
    ok "$role.json: $signers${from:+; it is the one that $from names}"
    from=$role.json
done

# --- What they name: the carriage and the release manifest ------------------------------------------------------------
split carriage.json
canonical ../release.json
[ ! -s carriage.json.signatures ] || refuse 'carriage.json carries a signature that nobody asked for'
says snapshot.json '."x-carriage" | .length == $length and .sha256 == $sha256' --argjson length "$(length carriage.json)" \
    --arg sha256 "$(sha256 carriage.json)" || refuse 'carriage.json is not the one that snapshot.json names'
release=$(sha256 ../release.json)
says targets.json '(.targets | keys) == ["release.json"]
    and (.targets[] | .length == $length and .hashes.sha256 == $sha256)' --argjson length "$(length ../release.json)" \
    --arg sha256 "$release" || refuse 'release.json is not the one that the approvers signed'
says targets.json '."x-domain" == $domain' --arg domain "$domain" || refuse 'targets.json was approved for another domain'
says targets.json '."x-bundle" as $a | all("product", "version", "line", "sequence", "issued"; $a[.] == $r[0][.])' \
    --slurpfile r ../release.json || refuse 'targets.json and release.json speak of different releases'
says "$root" '(."x-floor"[$r[0].product].sequence // 0) <= $r[0].sequence' --slurpfile r ../release.json ||
    refuse "the release is below the floor of $root: sequence $(jq .sequence ../release.json)"
says carriage.json '._type == "carriage" and .release == "sha256:" + $sha256' --arg sha256 "$release" ||
    refuse 'carriage.json is of another release'
says carriage.json '$t[0]."x-bundle".audience as $wide | (.audience // {}) as $narrow
    | ($wide.sites // [] | index("any")) != null
    or all("sites", "environments", "labels"; ($narrow[.] // []) - ($wide[.] // []) == [])' \
    --slurpfile t targets.json.signed || refuse 'carriage.json is addressed to more than the approvers signed'
ok 'carriage.json is the one that snapshot.json names, release.json the one that the approvers signed'

# Every blob of the release is carried once, under its digest and with its size, and nothing else is.
says carriage.json '([.members[:2][].name] == ["oci-layout", "index.json"]) and ([.members[2:][]
    | if .packed then select(.name == "packed/sha256/\(.packed.digest[7:]).zst") | .packed | [.digest, .size]
      else select(.name == "blobs/sha256/\(.sha256[7:])") | [.sha256, .length] end] | sort)
    == ($r[0].blobs | map([.digest, .size]) | sort) and (.members | length) == 2 + ($r[0].blobs | length)' \
    --slurpfile r ../release.json || refuse 'carriage.json does not carry exactly the blobs that release.json lists'
ok "carriage: exactly the $(jq '.blobs | length' ../release.json) blobs of the release"

# --- The payload ------------------------------------------------------------------------------------------------------
[ "$(tar -xOf "$file" filler | tr -d '\0' | wc -c)" -eq 0 ] || refuse 'the filler is not zero'
# One pass over the bundle; nothing is unpacked, each member goes through sha256sum.
tar -xf "$file" --to-command='echo "$(sha256sum | cut -d " " -f 1) $TAR_SIZE $TAR_FILENAME"' > hashed
sed '1,/ filler$/d' hashed > found
jq -r '.members[] | "\(.sha256[7:]) \(.length) \(.name)"' carriage.json.signed > promised
cmp -s promised found || refuse "not what was signed: $(diff promised found | sed -n 's/^[<>] .* //p' | head -n 1)"
ok "payload: $(wc -l < found) members, each with the length and sha256 that the carriage promises, none missing"

if ! grep -o 'packed/.*' found > packed; then
    ok 'packed members: none'
elif command -v zstd > /dev/null; then
    tar -xf "$file" -T packed --to-command='echo "packed/sha256/$(zstd -dcq | sha256sum | cut -d " " -f 1).zst"' > held
    cmp -s packed held || refuse "other content than its name says: $(diff packed held | sed -n 's/^< //p' | head -n 1)"
    ok "packed members: $(wc -l < held), each holds what its name says"
else
    printf 'skipped  %s\n' 'content of packed members: zstd is not installed (their stored bytes are the signed ones)'
fi
jq -rs '(.[2]."x-bundle" | "VERIFIED \(.product) \(.version), sequence \(.sequence)"),
    "         to be renewed by \(map(.expires) | min)"' timestamp.json.signed snapshot.json.signed targets.json.signed
