# Sends the message on its standard input with one client: sh clients.sh CLIENT
# Told by the environment: HOST (its ports 465 and 587), LOGIN, PASSWORD, FROM, TO.
# Each believes the authority in /etc/tls/ca.pem alone, and shows what the server says where it can.
set -e
ca=/etc/tls/ca.pem
swaks() { command swaks --server "$HOST" --tls-verify --tls-ca-path $ca --from "$FROM" --to "$TO" --data - --auth-user "$LOGIN" --auth-password "$PASSWORD" "$@"; }
# It sends lines as they are, and a bare LF is refused.
curl() { sed 's/$/\r/' | command curl --silent --show-error --verbose --cacert $ca --user "$LOGIN:$PASSWORD" --mail-from "$FROM" --mail-rcpt "$TO" --upload-file - "$@"; }
msmtp() { command msmtp --file=/dev/null --debug --host="$HOST" --from="$FROM" --tls=on --tls-trust-file=$ca --user="$LOGIN" --passwordeval='printf %s "$PASSWORD"' "$@" "$TO"; }
smtplib() {
    /usr/bin/python3 -c '
import os, smtplib, ssl, sys
told, context = os.environ, ssl.create_default_context(cafile="/etc/tls/ca.pem")
if sys.argv[1] == "465":
    server = smtplib.SMTP_SSL(told["HOST"], 465, context=context)
else:
    server = smtplib.SMTP(told["HOST"], 587)
    server.starttls(context=context)
server.login(told["LOGIN"], told["PASSWORD"])
server.sendmail(told["FROM"], [told["TO"]], sys.stdin.read())
server.quit()' "$1"
}
mutt() {
    printf '%s\n' "set smtp_url=\"$1://$LOGIN@$HOST:$2/\" smtp_pass=\"$PASSWORD\" smtp_authenticators=$3" \
        "set certificate_file=$ca ssl_starttls=yes ssl_force_tls=yes from=$FROM use_envelope_from=yes" \
        'set folder=/var/tmp record="" copy=no' >/tmp/muttrc
    command mutt -n -F /tmp/muttrc -H - </dev/stdin
}
case $1 in
"swaks 587 PLAIN") swaks --port 587 --tls --auth PLAIN ;;
"swaks 587 LOGIN") swaks --port 587 --tls --auth LOGIN ;;
"swaks 465 PLAIN") swaks --port 465 --tls-on-connect --auth PLAIN ;;
"swaks 465 by itself") swaks --port 465 --tls-on-connect --auth ;;
"curl smtps PLAIN") curl --login-options AUTH=PLAIN "smtps://$HOST:465/client.example" ;;
"curl STARTTLS LOGIN") curl --ssl-reqd --login-options AUTH=LOGIN "smtp://$HOST:587/client.example" ;;
"smtplib 465") smtplib 465 ;;
"smtplib 587") smtplib 587 ;;
"msmtp 465 PLAIN") msmtp --port=465 --tls-starttls=off --auth=plain ;;
"msmtp 587 LOGIN") msmtp --port=587 --tls-starttls=on --auth=login ;;
"msmtp 587 by itself") msmtp --port=587 --tls-starttls=on --auth=on ;;
"mutt 465 PLAIN") mutt smtps 465 plain ;;
"mutt 587 LOGIN") mutt smtp 587 login ;;
*) echo "no client $1" >&2; exit 64 ;;
esac
