# bash completion of guestwire
_guestwire() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" options="" valued=" " verbs=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "run qemu status forward dns leases flows ports counters config top capture doctor check-config completion help version" -- "$word"))
    return
  fi
  case "${COMP_WORDS[1]}" in
    help) options="run qemu status forward dns leases flows ports counters config top capture doctor check-config completion" ;;
    run)
      options="-config -listen -services -debug -pcap -mtu -ssh-port -subnet -gatewayIP -deviceIP -hostIP -ipv4 -ipv6 -subnet6 -gatewayIP6 -deviceIP6 -hostIP6 -listen-vpnkit -listen-qemu -listen-bess -listen-stdio -listen-vfkit -link -forward-sock -forward-dest -forward-user -forward-identity -pid-file -log-file -log-format -guest-api -api-token-file -isolation -guard -ec2-metadata-access -notification -version"
      valued=" -config -listen -services -pcap -mtu -ssh-port -subnet -gatewayIP -deviceIP -hostIP -subnet6 -gatewayIP6 -deviceIP6 -hostIP6 -listen-vpnkit -listen-qemu -listen-bess -listen-stdio -listen-vfkit -link -forward-sock -forward-dest -forward-user -forward-identity -pid-file -log-file -log-format -guest-api -api-token-file -guard -notification "
      verbs=""
      ;;
    qemu)
      options="--forward --mtu --ipv6 --ipv4 --subnet6 --mac --device --pcap --qemu --name --help"
      valued=" --forward --mtu --ipv4 --subnet6 --mac --device --pcap --qemu --name "
      verbs=""
      ;;
    status)
      options="--json --connect --name --help"
      valued=" --connect --name "
      verbs=""
      ;;
    forward)
      options="--json --connect --name --help"
      valued=" --connect --name "
      verbs="ls add rm"
      ;;
    dns)
      options="--zone --json --connect --name --help"
      valued=" --zone --connect --name "
      verbs="ls add rm"
      ;;
    leases)
      options="--json --connect --name --help"
      valued=" --connect --name "
      verbs=""
      ;;
    flows)
      options="--kill --protocol --guest --json --connect --name --help"
      valued=" --kill --protocol --guest --connect --name "
      verbs=""
      ;;
    ports)
      options="--json --connect --name --help"
      valued=" --connect --name "
      verbs=""
      ;;
    counters)
      options="--all --json --connect --name --help"
      valued=" --connect --name "
      verbs=""
      ;;
    config)
      options="-config -listen -services -debug -pcap -mtu -ssh-port -subnet -gatewayIP -deviceIP -hostIP -ipv4 -ipv6 -subnet6 -gatewayIP6 -deviceIP6 -hostIP6 -listen-vpnkit -listen-qemu -listen-bess -listen-stdio -listen-vfkit -link -forward-sock -forward-dest -forward-user -forward-identity -pid-file -log-file -log-format -guest-api -api-token-file -isolation -guard -ec2-metadata-access -notification -version"
      valued=" -config -listen -services -pcap -mtu -ssh-port -subnet -gatewayIP -deviceIP -hostIP -subnet6 -gatewayIP6 -deviceIP6 -hostIP6 -listen-vpnkit -listen-qemu -listen-bess -listen-stdio -listen-vfkit -link -forward-sock -forward-dest -forward-user -forward-identity -pid-file -log-file -log-format -guest-api -api-token-file -guard -notification "
      verbs=""
      ;;
    top)
      options="--connect --name --help"
      valued=" --connect --name "
      verbs=""
      ;;
    capture)
      options="--output --vm --count --connect --name --help"
      valued=" --output --vm --count --connect --name "
      verbs=""
      ;;
    doctor)
      options="--json --help"
      valued="  "
      verbs=""
      ;;
    check-config)
      options="--help"
      valued="  "
      verbs=""
      ;;
    completion)
      options="--help"
      valued="  "
      verbs="bash zsh fish"
      ;;
  esac
  # Values, and whatever a command takes besides, are completed as files.
  if [[ "$valued" != *" $before "* ]]; then
    if [[ "$word" == -* || "${COMP_WORDS[1]}" == help ]]; then
      COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [ "$COMP_CWORD" -eq 2 ]; then
      COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    fi
  fi
}
complete -o bashdefault -o default -F _guestwire guestwire
